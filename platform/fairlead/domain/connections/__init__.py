"""A tenant's account at a counterpart: who gave it, what it may do, whether it still holds. Never a secret.

events.py what happened · states.py what is known of it · commands.py, decide.py what is answered
drafts.py what may be connected at all · clients.py who we are at a provider · naming.py ids that follow from names
resolution.py which connection a call uses, and whether it may · use.py one use of it
grants.py what a provider of OAuth is asked and answers · errors.py why one cannot be used
"""
