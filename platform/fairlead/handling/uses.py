"""Puts uses of connections on the log without a call waiting for it.

A use is sent before the credential is handed over and waited for when the call is over, so it costs a call no time as
long as the log answers sooner than the counterpart. Uses of one connection that come while a commit is under way share
the next one. Each process writes streams of its own: nothing is read, and nobody is in anybody's way.
"""

import asyncio
from collections import OrderedDict
from typing import Any

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.connections.events import ConnectionUsed
from fairlead.domain.envelope import SYSTEM, Commit, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.ports import Clock, Ids, Log

MAX_USES = 500  # of one commit
KEPT_STREAMS = 4_096
AGAIN_S = 0.5
_log = structlog.get_logger()


class UseWriter:
    def __init__(self, log: Log, clock: Clock, ids: Ids) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self._lanes: OrderedDict[tuple[TenantId, str], _Lane] = OrderedDict()

    def write(self, tenant_id: TenantId, use: ConnectionUsed) -> "asyncio.Future[None]":
        """Done when the use is on the log. It goes on trying while the process lives, whoever waits or not."""
        key = (tenant_id, use.connection_id)
        lane = self._lanes.pop(key, None) or _Lane(self, tenant_id)
        self._lanes[key] = lane
        self._let_go()
        return lane.add(use)

    def fresh_stream(self, tenant_id: TenantId) -> StreamRef:
        return StreamRef(tenant_id, "connection_use", self._ids.new("use"))

    async def append(self, stream: StreamRef, uses: list[ConnectionUsed], after: LogSequence, version: int) -> Any:
        """Where it is. Raises StreamMoved, Unavailable."""
        commit: Commit[ConnectionUsed] = Commit(
            commit_id=CommandId(f"cmd_{stream.id}-{version}"),
            tenant_id=stream.tenant_id,
            kind=stream.kind,
            stream_id=stream.id,
            first_version=version + 1,
            at=self._clock.now(),
            actor=SYSTEM,
            events=tuple(uses),
        )
        return await self._log.append(commit, after)

    def _let_go(self) -> None:
        """A connection that comes back after that begins a new stream."""
        while len(self._lanes) > KEPT_STREAMS and next(iter(self._lanes.values())).is_idle:
            self._lanes.popitem(last=False)


class _Lane:
    """The uses of one connection by this process, in a stream that nobody else writes."""

    def __init__(self, writer: UseWriter, tenant_id: TenantId) -> None:
        self._writer = writer
        self._stream = writer.fresh_stream(tenant_id)
        self._sequence = LogSequence(0)
        self._version = 0
        self._waiting: list[tuple[ConnectionUsed, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        return self._work is None

    def add(self, use: ConnectionUsed) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((use, done))
        if self._work is None:
            self._work = asyncio.create_task(self._write_all())
        return done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_USES], self._waiting[MAX_USES:]
                await self._write([use for use, _ in batch])
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._work = None

    async def _write(self, uses: list[ConnectionUsed]) -> None:
        while True:
            try:
                self._sequence = await self._writer.append(self._stream, uses, self._sequence, self._version)
                self._version += len(uses)
                return
            except StreamMoved:  # cannot be, but a use must not be lost to a stream that is not ours after all
                self._stream = self._writer.fresh_stream(self._stream.tenant_id)
                self._sequence, self._version = LogSequence(0), 0
            except Unavailable as again:
                _log.warning("use_not_recorded_yet", uses=len(uses), reason=str(again))
                await asyncio.sleep(AGAIN_S)
