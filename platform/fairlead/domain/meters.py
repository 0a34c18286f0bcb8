"""Up to how long answers of models are counted apart, in microseconds."""

BOUNDS_US = (50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000)
