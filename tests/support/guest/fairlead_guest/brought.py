"""A module of its own."""

GREETING = "hello"
