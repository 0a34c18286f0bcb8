"""Pure decisions and facts: no I/O, no clock, no randomness."""
