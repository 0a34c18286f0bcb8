"""When a delivery that failed is tried again: exponential, with full jitter, and no sooner than the receiver asks."""

FIRST_S = 2.0
MOST_S = 3_600.0
MAX_DOUBLINGS = 16


def pause_s(attempts: int, drawn: float, retry_after_s: float | None = None, first_s: float = FIRST_S) -> float:
    """After so many attempts, from 1. `drawn` is a random number from 0 to 1: many that failed together do not come
    again together. What the receiver asks for counts up to an hour."""
    ceiling_s = min(MOST_S, first_s * 2.0 ** min(attempts - 1, MAX_DOUBLINGS))
    return max(drawn * ceiling_s, min(retry_after_s or 0.0, MOST_S))
