"""Runs third-party connectors in processes that hold nothing and reach nothing but through us.

`containment` puts the walls up and tries them, `launcher` starts a process behind them, `child` asks it one call at a
time, `egress` makes its requests, `pool` keeps it warm, `connector` makes it look like any other connector.
"""
