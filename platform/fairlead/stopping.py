"""What the operator of an installation stops, on the engines themselves, and how fast that is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_switches import NatsSwitches
from fairlead.domain.codec import Unreadable
from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.errors import Rejected
from fairlead.domain.ids import CommandId
from fairlead.domain.runs.events import ToolCallCompleted, ToolCallFailed
from fairlead.domain.switches import board as b
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.switching import Switching
from fairlead.operating import on_engines
from fairlead.ports import Batches, Followed, Log
from fairlead.registry import SWITCHES, connected, log_of
from fairlead.settings import Settings

OPERATOR = PrincipalId("operator")
WATCH_AT_MOST_S = 60.0


class NothingToStop(Rejected):
    """No call was made in the time before: a drill without a load measures nothing."""

    code = "drill_without_load"


class SwitchRow(Struct, frozen=True, kw_only=True):
    """A switch of the installation that is on."""

    target: str
    modes: tuple[b.Mode, ...]
    reason: str
    set_at: datetime
    expires_at: datetime | None


class Operator:
    """Holds the installation's board."""

    def __init__(self, log: Log, switching: Switching) -> None:
        self.log = log
        self._switching = switching
        self._ids = UuidIds()
        self.clock = SystemClock()

    async def set(
        self, target: b.Target, modes: Sequence[b.Mode], reason: str, expires_at: datetime | None = None
    ) -> b.Board:
        """Raises NotYourSwitch for what is a tenant's to stop."""
        if target.scope not in b.targets(INSTALLATION):
            allowed = ", ".join(sorted(b.targets(INSTALLATION)))
            raise b.NotYourSwitch("switch:set", f"the installation stops {allowed}; a {target.scope} is a tenant's own")
        command = b.SetSwitch(
            target=target,
            modes=tuple(modes),
            reason=reason,
            set_by=OPERATOR,
            expires_at=expires_at,
            now=self.clock.now(),
        )
        board: b.Board = (await self.change(command)).state
        return board

    async def release(self, target: b.Target, reason: str) -> None:
        await self.change(b.ReleaseSwitch(target=target, reason=reason))

    async def change(self, command: b.SwitchCommand) -> Handled:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self._ids.new("cmd")))
        return await self._switching.change(INSTALLATION, command, cause)


@asynccontextmanager
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    async with (
        on_engines(settings) as engines,
        connected(engines, "operator") as connection,
        log_of(engines, connection, unasked_too=True) as log,
    ):
        handler = Handler(log, SystemClock(), {"switch": SWITCHES})
        yield Operator(log, Switching(log, handler, NatsSwitches(connection, engines.nats_replicas)))


async def switch_on(
    settings: Settings, target: b.Target, modes: Sequence[b.Mode], reason: str, life: timedelta | None
) -> SwitchRow:
    async with operator(settings) as found:
        expires_at = found.clock.now() + life if life is not None else None
        return _row((await found.set(target, modes, reason, expires_at)).on[target.id])


async def switch_off(settings: Settings, target: b.Target, reason: str) -> None:
    async with operator(settings) as found:
        await found.release(target, reason)


async def switches_on(settings: Settings) -> list[SwitchRow]:
    async with operator(settings) as found:
        board: b.Board = (await found.change(b.ExpireSwitches(now=found.clock.now()))).state
        return [_row(switch) for switch in board.on.values()]


async def drill_stop(
    settings: Settings, target: b.Target, modes: Sequence[b.Mode], load_s: float, quiet_s: float
) -> b.SwitchDrilled:
    """Stop it under the load that there is, watch for the last call, let it go on, and record how long it took.

    Raises NothingToStop.
    """
    async with operator(settings) as found:
        return await drill(found, target, modes, load_s, quiet_s)


async def drill(
    found: Operator, target: b.Target, modes: Sequence[b.Mode], load_s: float, quiet_s: float
) -> b.SwitchDrilled:
    async with found.log.follow(await found.log.last_sequence(), ("run",)) as batches:
        watch = _Watch(batches, target)
        before = await watch.for_s(load_s)
        if not before:
            raise NothingToStop(f"no call was made in {load_s:g} s: a drill without a load measures nothing")
        set_at = (await found.set(target, modes, "a drill")).on[target.id].set_at
        try:
            after = await watch.until_quiet(quiet_s)
        finally:
            await found.release(target, "the drill is over")
    began = sorted(each.began_at for each in after if each.began_at > set_at)
    drilled = b.SwitchDrilled(
        target=target,
        modes=tuple(modes),
        set_at=set_at,
        last_effect_ms=round((began[-1] - set_at).total_seconds() * 1e3, 1) if began else 0.0,
        calls_before=len(before),
        calls_after=len(began),
        workers=len({each.worker for each in (*before, *after)}),
        load_s=load_s,
        quiet_s=quiet_s,
    )
    await found.change(b.RecordDrill(drilled=drilled))
    return drilled


class _Made(Struct, frozen=True):
    """A call that reached its counterpart. When it began is known to within its record: a little late."""

    worker: str
    began_at: datetime


class _Watch:
    def __init__(self, batches: Batches, target: b.Target) -> None:
        self._batches = batches
        self._target = target

    async def for_s(self, seconds: float) -> list[_Made]:
        return await self._gather(seconds)

    async def until_quiet(self, quiet_s: float) -> list[_Made]:
        """Until none was recorded for so long: a call that began before may end after."""
        found: list[_Made] = []
        for _ in range(max(1, round(WATCH_AT_MOST_S / quiet_s))):
            more = await self._gather(quiet_s)
            if not more:
                break
            found += more
        return found

    async def _gather(self, seconds: float) -> list[_Made]:
        found: list[_Made] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for batch in self._batches:
                    for each in batch:
                        found += _made(each, self._target)
        return found


def _made(each: Followed, target: b.Target) -> list[_Made]:
    if isinstance(each, Unreadable) or (target.scope == "tenant" and target.name != each.stream.tenant_id):
        return []
    return [
        _Made(event.worker, each.commit.at - timedelta(microseconds=event.latency_us))
        for event in each.commit.events
        if isinstance(event, ToolCallCompleted | ToolCallFailed) and event.latency_us > 0
    ]


def _row(switch: b.On) -> SwitchRow:
    return SwitchRow(
        target=switch.target.id,
        modes=switch.modes,
        reason=switch.reason,
        set_at=switch.set_at,
        expires_at=switch.expires_at,
    )
