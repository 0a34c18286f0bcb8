"""Which traces are kept: decided once per run, at its end, when all is known."""

import hashlib
from datetime import timedelta

from msgspec import Struct

from fairlead.domain.tracing.spans import RunTrace


class Sampling(Struct, frozen=True, kw_only=True):
    share_percent: int
    slow: timedelta


def is_kept(trace: RunTrace, sampling: Sampling) -> bool:
    """All that went wrong, all that was slow, and a share of the rest.

    The share goes by the trace, so that runs of one trace are kept or left together, whichever process decides.
    """
    return trace.flawed or trace.busy >= sampling.slow or _percent_of(trace.trace_id) < sampling.share_percent


def _percent_of(trace_id: str) -> int:
    """0 to 99. Hashed: a caller chooses the trace id."""
    return int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8], "big") % 100
