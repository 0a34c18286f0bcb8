"""Where traces go."""

from collections.abc import Sequence
from typing import Protocol

from fairlead.domain.errors import Rejected
from fairlead.domain.tracing import Span


class SpansRefused(Rejected):
    """The receiver will not take these spans, however often they are sent."""

    code = "spans_refused"


class SpanSink(Protocol):
    async def send(self, trace_id: str, spans: Sequence[Span]) -> None:
        """Once it returns the receiver has them. The same spans again are the same spans: their ids do not change.

        Raises Unavailable when it is worth another try, SpansRefused when it is not.
        """
