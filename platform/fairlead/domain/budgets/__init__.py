"""Budgets: what may be spent, by whom and until when. An upper bound is reserved before a call and settled after it.

One book for each tenant, with a single writer: whatever a call concerns is reserved in one commit, or nothing is.
"""
