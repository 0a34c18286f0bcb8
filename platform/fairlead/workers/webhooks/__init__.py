"""Tells webhooks what happens: each in the order of its runs, none at the cost of another."""
