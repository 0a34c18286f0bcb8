"""What the operator of an installation stops, on the engines themselves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_switches import NatsSwitches
from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.domain.switches import board as b
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.switching import Switching
from fairlead.operating import on_engines
from fairlead.ports import Clock, Log
from fairlead.registry import SWITCHES, connected, log_of
from fairlead.settings import Settings

OPERATOR = PrincipalId("operator")


class SwitchRow(Struct, frozen=True, kw_only=True):
    """A switch of the installation that is on."""

    target: str
    modes: tuple[b.Mode, ...]
    reason: str
    set_at: datetime
    expires_at: datetime | None


class Operator:
    """Holds the installation's board; for a drill also that of a tenant, whose own scopes only its board can stop."""

    def __init__(
        self, log: Log, switching: Switching, holder: TenantId = INSTALLATION, clock: Clock | None = None
    ) -> None:
        self.log = log
        self._switching = switching
        self._holder = holder
        self._ids = UuidIds()
        self.clock = clock or SystemClock()

    async def set(
        self, target: b.Target, modes: Sequence[b.Mode], reason: str, expires_at: datetime | None = None
    ) -> b.Board:
        """Raises NotYourSwitch for what is a tenant's to stop."""
        if target.scope not in b.targets(self._holder):
            allowed = ", ".join(sorted(b.targets(self._holder)))
            holder = "the installation" if self._holder == INSTALLATION else "a tenant"
            raise b.NotYourSwitch("switch:set", f"{holder} stops {allowed}")
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
        return await self._switching.change(self._holder, command, cause)

    async def board(self) -> b.Board:
        """As it is now, without what is over."""
        board: b.Board = (await self.change(b.ExpireSwitches(now=self.clock.now()))).state
        return board


@asynccontextmanager
async def operator(settings: Settings, holder: TenantId = INSTALLATION) -> AsyncIterator[Operator]:
    async with (
        on_engines(settings) as engines,
        connected(engines, "operator") as connection,
        log_of(engines, connection, unasked_too=True) as log,
    ):
        handler = Handler(log, SystemClock(), {"switch": SWITCHES})
        yield Operator(log, Switching(log, handler, NatsSwitches(connection, engines.nats_replicas)), holder)


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
        return [_row(switch) for switch in (await found.board()).on.values()]


def _row(switch: b.On) -> SwitchRow:
    return SwitchRow(
        target=switch.target.id,
        modes=switch.modes,
        reason=switch.reason,
        set_at=switch.set_at,
        expires_at=switch.expires_at,
    )
