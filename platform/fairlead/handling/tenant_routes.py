"""The routes of tenants and where their data may be read, at most a moment old, so that no call asks the log for them.

Whoever has just changed one says so, and what is known here is then as new as that.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.routing import residency as r
from fairlead.domain.routing import routes as rt
from fairlead.domain.routing.asking import Route
from fairlead.domain.routing.standing import Residency
from fairlead.ports import Clock, Log

FRESH_FOR = timedelta(seconds=1)
KEPT = 10_000

S = TypeVar("S")


class _Known(Struct, Generic[S], frozen=True):
    state: S
    sequence: LogSequence
    at: datetime


class _Streams(Generic[S]):
    """States of streams, folded as far as was read."""

    def __init__(self, log: Log, clock: Clock, initial: Callable[[], S], evolve: Callable[[S, Any], S]) -> None:
        self._log = log
        self._clock = clock
        self._initial = initial
        self._evolve = evolve
        self._kept: OrderedDict[StreamRef, _Known[S]] = OrderedDict()

    async def of(self, stream: StreamRef) -> S:
        """The same object for as long as nothing is appended. Raises Unavailable."""
        known, now = self._kept.get(stream), self._clock.now()
        if known is not None and now - known.at < FRESH_FOR:
            return known.state
        state, sequence = (known.state, known.sequence) if known else (self._initial(), LogSequence(0))
        for recorded in await self._log.read(stream, sequence):
            sequence = recorded.sequence
            for event in recorded.commit.events:
                state = self._evolve(state, event)
        self._kept[stream] = _Known(state, sequence, now)
        self._kept.move_to_end(stream)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return state

    def drop(self, stream: StreamRef) -> None:
        self._kept.pop(stream, None)


class TenantRoutes:
    """One for each process."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._routes = _Streams[rt.RouteState](log, clock, rt.initial, rt.evolve)
        self._residencies = _Streams[r.ResidencyState](log, clock, r.initial, r.evolve)
        self._read: OrderedDict[StreamRef, tuple[rt.Published, Route]] = OrderedDict()

    async def route(self, tenant_id: TenantId, name: str) -> Route | None:
        """None: there is none by that name, or it was retired. Raises Unavailable."""
        stream = rt.route_stream(tenant_id, name)
        state = await self._routes.of(stream)
        if not isinstance(state, rt.Published) or state.retired:
            return None
        kept, route = self._read.get(stream, (None, None))
        if route is None or kept is not state:
            route = state.route
            self._read[stream] = (state, route)
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        return route

    async def residency(self, tenant_id: TenantId) -> Residency:
        """Raises Unavailable."""
        return (await self._residencies.of(r.residency_stream(tenant_id))).residency

    def changed(self, stream: StreamRef) -> None:
        """This process has just changed it: whoever asks next reads it."""
        self._routes.drop(stream)
        self._residencies.drop(stream)
