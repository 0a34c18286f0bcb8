"""A call of a model, in one form for every wire: what is asked, what is answered, and the pieces of an answer."""
