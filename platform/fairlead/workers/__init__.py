"""Orders in, effects out, outcomes back to the log."""
