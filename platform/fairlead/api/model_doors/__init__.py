"""Doors for agents that speak to models over a vendor's wire: each call belongs to a run driven from outside."""
