"""What the platform does on this machine, measured on the real stack. `python -m benchmarks --help`."""
