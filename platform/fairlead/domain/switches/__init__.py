"""Switches: an operator or a tenant stops what may happen, at once and everywhere.

`board` is the aggregate, one for each tenant and one for the installation; `verdict` is what a switch means for one
thing that is about to happen.
"""
