"""The tenant: its workspaces, environments, principals, roles and keys, as facts, states and decisions.

events.py what can have happened · states.py what is remembered · commands.py what can be asked ·
decide.py the answer · keys.py the answer for keys · identity.py who a credential or an id stands for
"""
