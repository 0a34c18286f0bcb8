"""How many breakers of all tenants stand how, by connector: followed from the log, for metrics."""

import asyncio
from collections import Counter
from typing import Any

import structlog

from fairlead.domain import breakers as b
from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.ports import AnyRecorded, Log

RETRY_S = 1.0
STATES: dict[type[Any], str] = {b.BreakerOpened: "open", b.BreakerProbing: "half_open", b.BreakerClosed: "closed"}

_log = structlog.get_logger()


class BreakerCensus:
    """Keeps connector and state of each breaker that ever opened. Must be `run`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._standing: dict[StreamRef, tuple[str, str]] = {}
        self._after = LogSequence(0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except Unavailable as unavailable:
                _log.warning("breakers_not_followed", reason=str(unavailable))
                await asyncio.sleep(RETRY_S)

    def counts(self) -> Counter[tuple[str, str]]:
        """By connector and state."""
        return Counter(self._standing.values())

    async def _follow(self) -> None:
        async with self._log.follow(self._after, ("breaker",)) as batches:
            async for batch in batches:
                for recorded in batch:
                    self._after = recorded.sequence
                    if not isinstance(recorded, Unreadable):
                        self._hear(recorded)

    def _hear(self, recorded: AnyRecorded) -> None:
        """One whose opening could not be read is left out until it opens again."""
        breaker = recorded.commit.stream
        for event in recorded.commit.events:
            if isinstance(event, b.BreakerOpened):
                self._standing[breaker] = (event.connector, "open")
            elif (known := self._standing.get(breaker)) is not None:
                self._standing[breaker] = (known[0], STATES[type(event)])
