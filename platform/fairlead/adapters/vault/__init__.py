"""Secrets of tenants, sealed in PostgreSQL: each under a key of its own, that key wrapped by one that is not there.

keys.py what wraps · sealing.py one secret · postgres_vault.py where they are kept · rotation.py wrapping all anew
"""
