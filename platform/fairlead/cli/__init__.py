"""The fairlead command: a client of the REST API."""
