"""Kept connections, apart for each owner.

A connection carries nobody's credential beyond the request it went with. But an answer that a counterpart sends unasked
stays in the connection and would be read as the next answer; whoever asks next must not be another tenant.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpcore2

MAX_LANES = 128
IDLE_S = 30.0


class _Lane:
    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self.pool = pool
        self.in_flight = 0
        self.used_at = 0.0


class Lanes:
    """Of one process and event loop."""

    def __init__(self, make: Callable[[], httpcore2.AsyncConnectionPool]) -> None:
        self._make = make
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()  # the one used longest ago is first

    @asynccontextmanager
    async def of(self, owner: str | None) -> AsyncIterator[httpcore2.AsyncConnectionPool]:
        """None: nobody asks again over what is opened now."""
        if owner is None:
            async with self._make() as pool:
                yield pool
            return
        async with self._kept(owner) as pool:
            yield pool

    @asynccontextmanager
    async def _kept(self, owner: str) -> AsyncIterator[httpcore2.AsyncConnectionPool]:
        lane = self._lanes.get(owner)
        if lane is None:
            lane = self._lanes[owner] = _Lane(self._make())
        self._lanes.move_to_end(owner)
        lane.in_flight += 1
        lane.used_at = asyncio.get_running_loop().time()
        try:
            await self._close_unused(lane.used_at)
            yield lane.pool
        finally:
            lane.in_flight -= 1

    async def _close_unused(self, now: float) -> None:
        while owner := next(self._unused(now), None):
            await self._lanes.pop(owner).pool.aclose()

    def _unused(self, now: float) -> Iterator[str]:
        surplus = len(self._lanes) - MAX_LANES
        for number, (owner, lane) in enumerate(self._lanes.items()):
            if lane.in_flight == 0 and (number < surplus or lane.used_at < now - IDLE_S):
                yield owner

    async def aclose(self) -> None:
        while self._lanes:
            _, lane = self._lanes.popitem()
            await lane.pool.aclose()
