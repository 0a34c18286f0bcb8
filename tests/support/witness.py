"""Watches the log as it grows: what has been seen, what is under way, and when something comes to pass."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, get_args

from fairlead.domain.envelope import Sequence
from fairlead.domain.runs.events import RunEnding, RunForked, RunStarted
from fairlead.ports import AnyRecorded, Log
from tests.support.commits import readable

_ENDINGS = frozenset(get_args(RunEnding))

React = Callable[[AnyRecorded, Any], Awaitable[None]]


class Witness:
    """`run` until cancelled; meanwhile anybody may wait `until` something holds."""

    def __init__(self, log: Log) -> None:
        self.seen = 0
        self.under_way: set[str] = set()
        self.ended: dict[str, Any] = {}
        self._log = log
        self._moved = asyncio.Condition()

    async def run(self, react: React) -> None:
        """`react` is called for each event, in order; what takes time it does in tasks of its own."""
        async with self._log.follow(Sequence(0)) as batches:
            async for batch in batches:
                for recorded in readable(batch):
                    for event in recorded.commit.events:
                        self._note(recorded, event)
                        await react(recorded, event)
                self.seen += len(batch)
                async with self._moved:
                    self._moved.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._moved:
            await self._moved.wait_for(holds)

    def _note(self, recorded: AnyRecorded, event: Any) -> None:
        run_id = recorded.commit.stream_id
        if isinstance(event, RunStarted | RunForked):
            self.under_way.add(run_id)
        elif type(event) in _ENDINGS:
            self.under_way.discard(run_id)
            self.ended[run_id] = event


async def whole(log: Log) -> list[AnyRecorded]:
    """Every commit there is, oldest first."""
    found: list[AnyRecorded] = []
    async with log.follow(Sequence(0)) as batches:
        async for batch in batches:
            if not batch:
                break
            found += readable(batch)
    return found
