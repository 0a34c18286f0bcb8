"""How often one credential may ask: a token bucket each, in this process. Quotas of a tenant are another matter."""

from collections import OrderedDict
from math import ceil

from msgspec import Struct

from fairlead.domain.errors import FairleadError

MAX_BUCKETS = 50_000  # the one that was used longest ago is forgotten, and full again when it comes back


class RateLimit(Struct, frozen=True):
    per_second: float
    burst: int


DEFAULT_RATE = RateLimit(per_second=1_000, burst=2_000)


class RateLimited(FairleadError):
    """Too many requests with this credential; wait as long as `Retry-After` says."""

    code = "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many requests with this credential")
        self.retry_after_s = retry_after_s


class Allowance(Struct, frozen=True):
    """What is left in a bucket, and the seconds until there is one more, 0 when there is one."""

    remaining: int
    reset_s: int


class RateLimiter:
    """`now_s` is a monotonic clock's, given by the caller."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str, now_s: float) -> Allowance:
        """Takes one token. Raises RateLimited when there is none."""
        tokens, filled_at = self._buckets.pop(who, (float(self.limit.burst), now_s))
        tokens = min(float(self.limit.burst), tokens + (now_s - filled_at) * self.limit.per_second)
        missing_s = max(0.0, (1.0 - tokens) / self.limit.per_second)
        self._buckets[who] = (tokens if missing_s else tokens - 1.0, now_s)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if missing_s:
            raise RateLimited(ceil(missing_s))
        return Allowance(int(tokens - 1.0), 0 if tokens >= 2.0 else ceil((2.0 - tokens) / self.limit.per_second))

    def headers(self, allowance: Allowance) -> list[tuple[bytes, bytes]]:
        """As the IETF draft on rate limit fields writes them."""
        window_s = max(1, ceil(self.limit.burst / self.limit.per_second))
        return [
            (b"ratelimit-policy", f'"credential";q={self.limit.burst};w={window_s}'.encode()),
            (b"ratelimit", f'"credential";r={allowance.remaining};t={allowance.reset_s}'.encode()),
        ]
