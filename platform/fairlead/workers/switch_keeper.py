"""Ends switches whose time has come, and lets runs go on that a switch has paused and none stops any more."""

import time
from collections.abc import Callable
from typing import Protocol

import structlog
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.ids import CommandId, RunId
from fairlead.domain.runs.commands import ReleaseRun
from fairlead.domain.runs.states import Active
from fairlead.domain.switches.board import Board, ExpireSwitches
from fairlead.domain.switches.verdict import Boards
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.switching import Brake, Switching
from fairlead.ports import Clock, Switches
from fairlead.workers.equipping import where_of

EVERY_S = 1.0
WHILE_STOPPED_S = 30.0  # how often all that is paused is looked through while a switch pauses anything
PAGE = 500

_log = structlog.get_logger()


class PausedRuns(Protocol):
    async def after(self, place: tuple[str, str], limit: int) -> list[tuple[TenantId, RunId]]:
        """Those that a switch has paused, in the order of their ids, past this place."""


class SwitchKeeper:
    """One for each engine; several do no harm."""

    def __init__(
        self,
        switches: Switches,
        switching: Switching,
        brake: Brake,
        runs: PausedRuns,
        handler: Handler,
        clock: Clock,
        every_s: float = EVERY_S,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switches = switches
        self._switching = switching
        self._brake = brake
        self._runs = runs
        self._handler = handler
        self._clock = clock
        self._every_s = every_s
        self._steady = steady
        self._seen: Boards = {}
        self._again_s = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as unavailable:
                _log.warning("switch_keeper_waits", reason=str(unavailable))
            await self._switches.changed(self._every_s)

    async def look(self) -> None:
        """One round. Raises Unavailable."""
        boards = self._switches.known()
        if boards is None:
            return
        await self._expire(boards)
        if boards != self._seen or self._steady() >= self._again_s:
            await self._release()
            self._seen = boards
            pauses = any("pause_runs" in switch.modes for board in boards.values() for switch in board.on.values())
            self._again_s = self._steady() + (WHILE_STOPPED_S if pauses else 0.0)

    async def _expire(self, boards: Boards) -> None:
        now = self._clock.now()
        for holder, board in boards.items():
            if any(not switch.counts(now) for switch in board.on.values()):
                cause = Cause(actor=SYSTEM, command_id=_expiry(holder, board))
                await self._switching.change(holder, ExpireSwitches(now=now), cause)

    async def _release(self) -> None:
        place = ("", "")
        while paused := await self._runs.after(place, PAGE):
            for tenant_id, run_id in paused:
                await self._look_at(StreamRef(tenant_id, "run", run_id))
            place = paused[-1]

    async def _look_at(self, run: StreamRef) -> None:
        try:
            state = (await self._handler.load(run)).state
            if isinstance(state, Active) and state.paused_by and not self._is_stopped(run, state):
                command_id = CommandId(f"cmd_release.{run.id}.{state.resumed}")
                cause = Cause(actor=SYSTEM, command_id=command_id, correlation_id=run.id)
                await self._handler.handle(run, ReleaseRun(now=self._clock.now()), cause)
        except Unavailable:
            raise
        except FairleadError as refused:
            _log.warning("run_not_released", tenant_id=run.tenant_id, run_id=run.id, reason=str(refused))

    def _is_stopped(self, run: StreamRef, state: Active) -> bool:
        """By any switch that would pause one of its calls: else it would go on only to be paused again."""
        for call in state.calls.values():
            stop = self._brake.stop_of("call", call.request.effect, where_of(run.tenant_id, state, call.request.tool))
            if stop is not None and stop.answer == "pause":
                return True
        stop = self._brake.stop_of("call", Effect.READ, where_of(run.tenant_id, state))
        return stop is not None and stop.answer == "pause"


def _expiry(holder: TenantId, board: Board) -> CommandId:
    return CommandId(f"cmd_expire.{holder}.{board.version}")
