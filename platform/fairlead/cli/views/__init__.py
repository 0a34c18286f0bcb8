"""How each kind of thing looks in a table."""
