"""Puts facts on the log that nothing is decided on, without those who make them waiting for each other.

What comes while a commit is under way shares the next one. Each process writes streams of its own: nothing is read, and
nobody is in anybody's way.
"""

import asyncio
from collections import OrderedDict
from typing import Any

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import SYSTEM, Commit, Event, Kind, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import PREFIX_OF_KIND, CommandId
from fairlead.ports import Clock, Ids, Log

MAX_EVENTS = 500  # of one commit
KEPT_STREAMS = 4_096
AGAIN_S = 0.5

_log = structlog.get_logger()


class SideStreams:
    """Of one kind. Facts of one tenant with the same key are in one stream, in order."""

    def __init__(self, log: Log, clock: Clock, ids: Ids, kind: Kind) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self._kind: Kind = kind
        self._lanes: OrderedDict[tuple[TenantId, str], _Lane] = OrderedDict()

    def write(self, tenant_id: TenantId, key: str, event: Event) -> "asyncio.Future[None]":
        """Done when it is on the log. It goes on trying while the process lives, whoever waits or not."""
        lane = self._lanes.pop((tenant_id, key), None) or _Lane(self, tenant_id)
        self._lanes[tenant_id, key] = lane
        self._let_go()
        return lane.add(event)

    def fresh_stream(self, tenant_id: TenantId) -> StreamRef:
        prefix = PREFIX_OF_KIND[self._kind].removesuffix("_")
        return StreamRef(tenant_id, self._kind, self._ids.new(prefix))

    async def append(self, stream: StreamRef, events: list[Event], after: LogSequence, version: int) -> LogSequence:
        """Where it is. Raises StreamMoved, Unavailable."""
        commit: Commit[Any] = Commit(
            commit_id=CommandId(f"cmd_{stream.id}-{version}"),
            tenant_id=stream.tenant_id,
            kind=stream.kind,
            stream_id=stream.id,
            first_version=version + 1,
            at=self._clock.now(),
            actor=SYSTEM,
            events=tuple(events),
        )
        return await self._log.append(commit, after)

    def _let_go(self) -> None:
        """A key that comes back after that begins a new stream."""
        while len(self._lanes) > KEPT_STREAMS and next(iter(self._lanes.values())).is_idle:
            self._lanes.popitem(last=False)


class _Lane:
    """A stream that nobody else writes."""

    def __init__(self, streams: SideStreams, tenant_id: TenantId) -> None:
        self._streams = streams
        self._stream = streams.fresh_stream(tenant_id)
        self._sequence = LogSequence(0)
        self._version = 0
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        return self._work is None

    def add(self, event: Event) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, done))
        if self._work is None:
            self._work = asyncio.create_task(self._write_all())
        return done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_EVENTS], self._waiting[MAX_EVENTS:]
                await self._write([event for event, _ in batch])
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._work = None

    async def _write(self, events: list[Event]) -> None:
        while True:
            try:
                self._sequence = await self._streams.append(self._stream, events, self._sequence, self._version)
                self._version += len(events)
                return
            except StreamMoved:  # cannot be, but nothing must be lost to a stream that is not ours after all
                self._stream = self._streams.fresh_stream(self._stream.tenant_id)
                self._sequence, self._version = LogSequence(0), 0
            except Unavailable as again:
                _log.warning("not_recorded_yet", kind=self._stream.kind, events=len(events), reason=str(again))
                await asyncio.sleep(AGAIN_S)
