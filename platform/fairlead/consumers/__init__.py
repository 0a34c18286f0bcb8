"""Log in: a file per read model or process manager."""
