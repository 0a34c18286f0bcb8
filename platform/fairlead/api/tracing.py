"""W3C trace context: the caller's is gone on with, else one is made here."""

import re
import secrets
from collections.abc import Iterable

from msgspec import Struct

HEADER = b"traceparent"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


class Trace(Struct, frozen=True):
    """`parent` is what this request hands on: the same trace, and a span of its own."""

    trace_id: str
    parent: str


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> Trace:
    """A header that is not one, or that is there twice, is treated as missing, as the recommendation says."""
    sent = [value.decode("latin-1") for name, value in headers if name == HEADER]
    known = _PARENT.fullmatch(sent[0]) if len(sent) == 1 else None
    trace_id, flags = known.groups() if known else (secrets.token_hex(16), "01")
    return Trace(trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-{flags}")
