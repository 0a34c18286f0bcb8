"""Webhooks: what a tenant wants to be told of, and where. Deliveries are no facts: they follow from these."""
