"""What one process counts of the calls to one counterpart, until it is time to speak of it.

Only what says that nobody answered counts against a counterpart: a refusal, bad arguments or "too many requests" are
answers.
"""

from collections import deque

from msgspec import Struct

from fairlead.domain.runs.events import ErrorClass

COUNTED: frozenset[ErrorClass] = frozenset({"transient", "timeout", "unknown_outcome"})
WINDOW_S = 30.0
LEAST_FAILURES = 5  # within the window, and
LEAST_SHARE = 0.5  # of the calls in it
_BUCKET_S = 1.0


class Counted(Struct, frozen=True):
    """Enough to open a breaker."""

    failures: int
    calls: int


class Tally:
    """Calls and failures of the last WINDOW_S, by any clock that goes one way."""

    __slots__ = ("_buckets", "_calls", "_failures")

    def __init__(self) -> None:
        self._buckets: deque[list[float]] = deque()  # start, calls, failures
        self._calls = 0
        self._failures = 0

    def record(self, failed: bool, now_s: float) -> Counted | None:
        """What has come together, once it is enough. The tally then begins anew."""
        buckets = self._buckets
        if not buckets or now_s >= buckets[-1][0] + _BUCKET_S:
            self._drop(now_s)
            buckets.append([now_s, 0, 0])
        buckets[-1][1] += 1
        self._calls += 1
        if not failed:
            return None
        buckets[-1][2] += 1
        self._failures += 1
        if self._failures < LEAST_FAILURES or self._failures < LEAST_SHARE * self._calls:
            return None
        counted = Counted(self._failures, self._calls)
        self.clear()
        return counted

    def clear(self) -> None:
        self._buckets.clear()
        self._calls = self._failures = 0

    def _drop(self, now_s: float) -> None:
        while self._buckets and self._buckets[0][0] <= now_s - WINDOW_S:
            _, calls, failures = self._buckets.popleft()
            self._calls -= int(calls)
            self._failures -= int(failures)
