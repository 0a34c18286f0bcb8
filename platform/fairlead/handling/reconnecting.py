"""Brings it to the runs that wait when somebody has given access to an account.

A run that begins to wait is in the read model a moment later, so the read model is asked only once it is as far as the
account's news. Whoever begins to wait after the news finds them in the account itself, and tells its own run.
"""

from collections.abc import Sequence
from typing import Protocol

from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import CommandId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.commands import ConnectionRestored
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Clock, Log


class AccessGiven(Struct, frozen=True, kw_only=True):
    """The account's news at this place of the log. `granted` None: the scopes are what they were."""

    sequence: LogSequence
    granted: tuple[str, ...] | None
    at: Instant


class WaitingRuns(Protocol):
    async def for_connection(self, tenant_id: TenantId, connection_id: str, at_least: LogSequence) -> Sequence[RunId]:
        """Runs that wait for the account. Raises Unavailable while it is not known up to that place of the log."""


class Reconnector:
    def __init__(self, handler: Handler, runs: WaitingRuns) -> None:
        self._handler = handler
        self._runs = runs

    async def handle(self, connection: StreamRef, given: AccessGiven, cause: Cause) -> None:
        """Raises Unavailable. Said again, it finds fewer runs that wait."""
        waiting = await self._runs.for_connection(connection.tenant_id, connection.id, given.sequence)
        restored = ConnectionRestored(connection_id=connection.id, granted=given.granted, now=given.at)
        for run_id in waiting:
            own = replace(cause, command_id=CommandId(f"{cause.command_id}.{run_id}"), correlation_id=run_id)
            await self._handler.handle(StreamRef(connection.tenant_id, "run", run_id), restored, own)


class AccessCheck:
    """For whoever has just recorded that a run waits: access may have been given in the meantime."""

    def __init__(self, log: Log, handler: Handler, clock: Clock) -> None:
        self._log = log
        self._handler = handler
        self._clock = clock

    async def look(self, run: StreamRef, connection_id: str, because: str) -> None:
        """`because` names the attempt that found no access: each is followed by one such command at most."""
        connection = StreamRef(run.tenant_id, "connection", connection_id)
        (head,) = await self._log.heads([connection])
        account = (await self._handler.load(connection, head)).state
        if not isinstance(account, Account) or account.standing != "connected":
            return
        restored = ConnectionRestored(connection_id=connection_id, granted=account.granted, now=self._clock.now())
        cause = Cause(
            actor=SYSTEM, command_id=CommandId(f"cmd_access.{because}"), causation_id=because, correlation_id=run.id
        )
        await self._handler.handle(run, restored, cause)
