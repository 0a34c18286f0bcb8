"""Tenancy, pure: who may do what, in whose data."""
