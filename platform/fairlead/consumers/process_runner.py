"""Runs process managers: a commit comes in, commands go out. Redelivery is harmless, for each command's id follows from
its cause. A commit that cannot be read, or whose reaction keeps failing, is parked: one never stops a partition."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.consumers.parking import Parked, park, parked_of, unpark
from fairlead.consumers.replay import MAX_REPLAYED_AT_ONCE, Replayed, recorded_of, said
from fairlead.domain.codec import Unreadable, UnreadableCommit
from fairlead.domain.envelope import SYSTEM, Kind, StreamRef, position
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.handling.handler import Cause
from fairlead.ports import AnyRecorded, Delivery, Followed, Log, SqlSession, SqlSessions

MAX_BATCH = 100
MAX_ATTEMPTS = 4
FIRST_PAUSE_S = 0.1
REDELIVER_AFTER_S = 1.0
NO_BUILD = 0  # process managers are never rebuilt

_log = structlog.get_logger()

Handle = Callable[[StreamRef, Any, Cause], Awaitable[Any]]


class ProcessManager(Protocol):
    """A module. `NAME` is its consumer group and part of its command ids: it never changes."""

    NAME: str
    KINDS: tuple[Kind, ...]

    def react(self, recorded: AnyRecorded) -> Sequence[tuple[StreamRef, Any]]:
        """Which commands follow. Pure: the same commit always gives the same commands in the same order."""


class ProcessRunner:
    def __init__(self, log: Log, sessions: SqlSessions, handle: Handle, manager: ProcessManager) -> None:
        self._log = log
        self._sessions = sessions
        self._handle = handle
        self._manager = manager
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """Until cancelled. Partitions are worked on side by side, each in order."""
        while True:
            try:
                async with (
                    self._log.share(self._manager.NAME, self._manager.KINDS, MAX_BATCH) as shares,
                    asyncio.TaskGroup() as group,
                ):
                    async for delivery in shares:
                        group.create_task(self._deal_with(delivery))
            except* Unavailable as unavailable:
                _log.warning("process_manager_waits", name=self._manager.NAME, reason=str(unavailable.exceptions[0]))
            await asyncio.sleep(REDELIVER_AFTER_S)

    async def replay(self, tenant_id: TenantId) -> Replayed:
        """React again to the tenant's parked commits, oldest first. What fails again stays parked; the rest go on."""
        result, after = Replayed(), 0
        async with self._sessions.session() as session:
            while parked := await self._parked(session, tenant_id, after):
                for each in parked:
                    result = result.and_also(await self._react_again(session, each))
                after = parked[-1].sequence
        return result

    async def _parked(self, session: SqlSession, tenant_id: TenantId, after: int) -> list[Parked]:
        async with session.transaction() as tx:
            await tx.fence(tenant_id)
            return await parked_of(tx, self._manager.NAME, NO_BUILD, MAX_REPLAYED_AT_ONCE, after)

    async def _react_again(self, session: SqlSession, parked: Parked) -> Replayed:
        try:
            [recorded] = await recorded_of(self._log, [parked])
            await self._react(recorded)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # as when it was parked
            return Replayed(left=1, error=said(error))
        async with session.transaction() as tx:
            await tx.fence(parked.tenant_id)
            await unpark(tx, self._manager.NAME, NO_BUILD, parked.sequence)
        return Replayed(done=1)

    async def _deal_with(self, delivery: Delivery) -> None:
        async with self._turns[delivery.partition]:
            try:
                for recorded in delivery.recorded:
                    await self._react_or_park(recorded)
            except Unavailable:
                await delivery.nack(REDELIVER_AFTER_S)
            else:
                await delivery.ack()

    async def _react_or_park(self, recorded: Followed) -> None:
        if isinstance(recorded, Unreadable):
            return await self._park(recorded, recorded.reason)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._react(recorded)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001  # a reaction may fail in any way, and must not stop the others
                if attempt == MAX_ATTEMPTS:
                    return await self._park(recorded, error)
                await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        return None

    async def _react(self, recorded: AnyRecorded) -> None:
        commit = recorded.commit
        for number, (stream, command) in enumerate(self._manager.react(recorded)):
            cause = Cause(
                actor=SYSTEM,
                command_id=command_id(self._manager.NAME, commit.commit_id, number),
                causation_id=position(recorded.sequence, len(commit.events) - 1),
                correlation_id=commit.correlation_id,
                trace_parent=commit.trace_parent,
            )
            try:
                await self._handle(stream, command, cause)
            except (Unavailable, StreamMoved, UnreadableCommit):
                raise
            except FairleadError as refused:  # the world has moved on since the cause: an answer, not a fault
                _log.info("command_refused", name=self._manager.NAME, sequence=recorded.sequence, code=refused.code)

    async def _park(self, recorded: Followed, error: Exception) -> None:
        async with self._sessions.session() as session, session.transaction() as tx:
            await tx.fence(recorded.stream.tenant_id)
            await park(tx, 0, self._manager.NAME, NO_BUILD, recorded, error)


def command_id(manager: str, cause: CommandId, number: int) -> CommandId:
    """Made from the causing commit's id, not its place: a log that was restored may number its commits anew."""
    digest = hashlib.sha256(f"{manager}/{cause}/{number}".encode()).hexdigest()
    return CommandId(f"cmd_{digest[:32]}")
