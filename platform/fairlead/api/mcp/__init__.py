"""The door for clients of the Model Context Protocol: the tools of one workflow, each call governed like any other.

messages.py one message · eras.py how each era of the protocol frames it · offers.py what a client is shown ·
sessions.py which run it drives · calling.py calls and what is said of them · serving.py methods · door.py the routes
"""
