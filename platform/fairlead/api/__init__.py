"""HTTP in: a controller file per resource."""
