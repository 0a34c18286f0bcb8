"""Makes lost orders and alarms again. Both are hints: what a run is owed follows from its state.

The read model names the runs under way that have not moved for a while. Each is looked at, sent all that it is owed,
and looked at again: soon when it should be at work, late when it waits for somebody.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.ids import CommandId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.commands import Alarm, FireAlarm
from fairlead.domain.runs.obligations import Owed, awaiting, outstanding
from fairlead.domain.runs.states import Active, Ended
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.reconnecting import AccessCheck
from fairlead.ports import Clock

EVERY_S = 2.0
SOON = timedelta(seconds=10)
SELDOM = timedelta(minutes=1)
LATE = timedelta(minutes=10)
GRACE = timedelta(seconds=5)  # an alarm is the timers' business first
MAX_RUNS = 500
_log = structlog.get_logger()


class QuietRuns(Protocol):
    async def due(self, now: Instant, limit: int) -> list[tuple[TenantId, RunId]]:
        """Runs under way to look at, longest overdue first, of all tenants."""

    async def look_again(self, runs: Sequence[tuple[TenantId, RunId, Instant]]) -> None:
        """When to look at each next, unless it moves before."""


class RunWatch:
    def __init__(
        self, runs: QuietRuns, handler: Handler, dispatch: Dispatch, access: AccessCheck, clock: Clock
    ) -> None:
        self._runs = runs
        self._handler = handler
        self._dispatch = dispatch
        self._access = access
        self._clock = clock
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Orders may just have been lost: look at whatever is at work without waiting until it has been quiet."""
        self._hurried.set()

    async def run(self) -> None:
        while True:
            try:
                await self._look_as_needed()
            except Unavailable as unavailable:
                _log.warning("watch_waits", reason=str(unavailable))
                await asyncio.sleep(EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._hurried.wait()

    async def _look_as_needed(self) -> None:
        if not self._hurried.is_set():
            await self.look()
            return
        self._hurried.clear()
        try:
            await self.look_ahead()
        except Unavailable:
            self._hurried.set()
            raise

    async def look(self) -> int:
        """One round. How many runs were looked at."""
        return await self._look(self._clock.now())

    async def look_ahead(self) -> None:
        """At each run that is at work, once: it would be looked at within SOON of its last commit anyway."""
        horizon = self._clock.now() + SOON - timedelta.resolution  # those looked at now are due after it
        while await self._look(horizon) == MAX_RUNS:
            pass

    async def _look(self, horizon: Instant) -> int:
        now = self._clock.now()
        due = await self._runs.due(horizon, MAX_RUNS)
        again = [(tenant_id, run_id, await self._mend(tenant_id, run_id, now)) for tenant_id, run_id in due]
        await self._runs.look_again(again)
        return len(due)

    async def _mend(self, tenant_id: TenantId, run_id: RunId, now: Instant) -> Instant:
        try:
            return await self._send_what_is_owed(StreamRef(tenant_id, "run", run_id), now)
        except Unavailable:
            raise
        except FairleadError as refused:
            _log.warning("run_not_mended", tenant_id=tenant_id, run_id=run_id, reason=str(refused))
            return now + LATE
        except Exception as error:  # noqa: BLE001  # one run that cannot be looked at must not hide the others
            _log.error("run_not_mended", tenant_id=tenant_id, run_id=run_id, exc_info=error)
            return now + LATE

    async def _send_what_is_owed(self, run: StreamRef, now: Instant) -> Instant:
        state = (await self._handler.load(run)).state
        for alarm in _alarms(outstanding(run.tenant_id, state)):
            if alarm.due_at <= now:
                state = (await self._handler.handle(run, FireAlarm(alarm=alarm, now=now), _cause(run, alarm))).state
        if not (isinstance(state, Active) or (isinstance(state, Ended) and state.undoing.is_open)):
            return now + LATE  # the read model has not heard of the end yet
        owed = outstanding(run.tenant_id, state)
        await self._dispatch.send(run, owed, state)
        if _is_at_work(state):
            return now + (SELDOM if _is_held(state) else SOON)
        await self._look_for_access(run, state)
        return min([now + LATE, *(max(alarm.due_at, now) + GRACE for alarm in _alarms(owed))])

    async def _look_for_access(self, run: StreamRef, state: Active | Ended) -> None:
        """In case the news of an account did not reach the run."""
        if isinstance(state, Active):
            for call in state.calls.values():
                if call.missing is not None:
                    attempt = f"{call.request.call_id}.{call.attempt}"
                    await self._access.look(run, call.missing.connection_id, attempt)


def _is_at_work(state: Active | Ended) -> bool:
    if isinstance(state, Active):
        return awaiting(state) == "work"
    head = state.undoing.head
    return head is not None and head.phase == "dispatched"


def _is_held(state: Active | Ended) -> bool:
    """Whether all that is at work waits in its lane for a limit or a breaker, perhaps for long and with many others."""
    if not isinstance(state, Active):
        return False
    return all(call.held is not None for call in state.calls.values() if call.phase in ("dispatched", "started"))


def _alarms(owed: list[Owed]) -> list[Alarm]:
    return [each for each in owed if isinstance(each, Alarm)]


def _cause(run: StreamRef, alarm: Alarm) -> Cause:
    command_id = f"cmd_watch.{run.id}.{alarm.kind}.{alarm.key}.{alarm.due_at.timestamp()}"
    return Cause(actor=SYSTEM, command_id=CommandId(command_id), correlation_id=run.id)
