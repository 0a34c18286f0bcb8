"""A streamed answer as it comes: events with bounds, pieces in order, and no end but the provider's own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from datetime import datetime

import msgspec
from fairlead_sdk.models import ModelService

from fairlead.adapters.outbound.exchange import Arriving
from fairlead.domain.models.answer import Delta, Ended, PartBegan, PartGrew
from fairlead.domain.models.failures import ModelFailed, failure_in_stream, windows_of
from fairlead.domain.models.sse import SseEvent, SseReader, TooMuch
from fairlead.domain.models.wires import FORMS


class StreamedAnswer:
    """Implements `ports.Answering`."""

    def __init__(
        self,
        arriving: Arriving,
        service: ModelService,
        first_token_by: float,
        now: datetime,
        failing: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.windows = windows_of(arriving.headers, now)
        self._arriving = arriving
        self._times = service.times
        self._form = FORMS[service.wire]
        self._reader = self._form.reader()
        self._events = SseReader()
        self._first_token_by = first_token_by
        self._has_spoken = False
        self._failing = failing

    async def __aiter__(self) -> AsyncIterator[Delta]:
        while True:
            with self._failing():
                piece = await self._arriving.piece(self._patience_s())
                deltas = [] if piece is None else self._deltas(piece)
            for delta in deltas:
                yield delta
                if isinstance(delta, Ended):
                    return
            if piece is None:
                message = "the provider's stream ended before its answer did"
                raise ModelFailed("transient", "stream_cut_off", message, may_be_charged=True)

    def _patience_s(self) -> float:
        """Until the first token its own bound counts: signs of life in between do not put it off."""
        if self._has_spoken:
            return self._times.between_s
        return max(self._first_token_by - asyncio.get_running_loop().time(), 0.0)

    def _deltas(self, piece: bytes) -> list[Delta]:
        try:
            events = self._events.feed(piece)
        except TooMuch:
            message = "the provider's stream holds a line, an event or a whole that is too long"
            raise ModelFailed("permanent", "answer_too_large", message, may_be_charged=True) from None
        deltas = [delta for event in events for delta in self._read(event)]
        self._has_spoken = self._has_spoken or any(isinstance(delta, PartBegan | PartGrew) for delta in deltas)
        return deltas

    def _read(self, event: SseEvent) -> list[Delta]:
        if event.data == self._form.last_word:
            return self._reader.read(None)
        body = msgspec.json.decode(event.data)
        if isinstance(body, dict) and (failed := failure_in_stream(body)) is not None:
            raise failed
        return self._reader.read(body)
