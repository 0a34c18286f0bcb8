"""A tenant's account at a counterpart: who gave it, what it may do, whether it still holds. Never a secret.

grants.py what a provider of OAuth is asked and answers · errors.py why a connection cannot be used
"""
