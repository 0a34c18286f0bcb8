"""Switches when nats-server dies: nothing is known meanwhile, and what was switched off still is when it is back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, PrincipalId, TenantId, WorkspaceId

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.engines import Embedded
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.adapters.nats_switches import FRESH_S, NatsSwitches
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId, WorkflowId
from fairlead.domain.switches import board as b
from fairlead.domain.switches.verdict import Where
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.switching import Brake, SwitchesUnknown, Switching
from fairlead.registry import SWITCHES

ANN = TenantId("tnt_00000000000000000000000a11")
HERE = Where(ANN, EnvironmentId("env_1"), WorkspaceId("wsp_1"), WorkflowId("wfl_1"), "bills.pay")
TARGET = b.Target("connector", "bills")


class Process:
    """What one process knows of switches."""

    def __init__(self, connection: NatsConnection) -> None:
        clock, log = SystemClock(), NatsLog(connection, Codec(EVENTS, UPCASTERS))
        self.switches = NatsSwitches(connection)
        self.switching = Switching(log, Handler(log, clock, {"switch": SWITCHES}), self.switches)
        self.brake = Brake(self.switches, clock)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await self.switches.changed(0.05)

    def is_stopped(self) -> bool:
        try:
            return self.brake.stop_of("call", Effect.WRITE, HERE) is not None
        except SwitchesUnknown:
            return False


@asynccontextmanager
async def process(nats_url: str) -> AsyncIterator[Process]:
    connection = await NatsConnection.open(nats_url)
    await ensure_streams(connection)
    made = Process(connection)
    watching = asyncio.create_task(made.switches.run(made.switching.fill))
    try:
        await made.until(lambda: made.switches.known() is not None)
        yield made
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await connection.close()


async def test_a_switch_outlives_the_server_and_nothing_is_let_through_while_it_is_away(engines: Embedded) -> None:
    setting = b.SetSwitch(
        target=TARGET, modes=("deny_writes",), reason="a hole", set_by=PrincipalId("prn_ann"), now=SystemClock().now()
    )
    async with process(engines.urls.nats) as here, process(engines.urls.nats) as there:
        await here.switching.change(ANN, setting, Cause(actor=SYSTEM, command_id=CommandId("cmd_switch_outage_1")))
        await there.until(there.is_stopped)
        await engines.kill_nats()
        try:
            loop = asyncio.get_running_loop()
            died_s = loop.time()
            await there.until(lambda: there.switches.known() is None)
            assert loop.time() - died_s < FRESH_S + 1.0
            with pytest.raises(SwitchesUnknown):
                there.brake.stop_of("call", Effect.READ, HERE)
        finally:
            await engines.start_nats()
        await there.until(there.is_stopped)
        await here.until(here.is_stopped)
        release = b.ReleaseSwitch(target=TARGET, reason="mended")
        await there.switching.change(ANN, release, Cause(actor=SYSTEM, command_id=CommandId("cmd_switch_outage_2")))
        await here.until(lambda: here.switches.known() is not None and not here.is_stopped())
    async with process(engines.urls.nats) as later:
        assert not later.is_stopped()


async def test_a_process_that_begins_knows_what_was_switched_off_before(nats_url: str) -> None:
    setting = b.SetSwitch(
        target=TARGET, modes=("deny_all",), reason="a hole", set_by=PrincipalId("prn_ann"), now=SystemClock().now()
    )
    async with process(nats_url) as before:
        await before.switching.change(ANN, setting, Cause(actor=SYSTEM, command_id=CommandId("cmd_switch_before_1")))
    async with process(nats_url) as after:
        assert after.is_stopped()
        release = b.ReleaseSwitch(target=TARGET, reason="mended")
        await after.switching.change(ANN, release, Cause(actor=SYSTEM, command_id=CommandId("cmd_switch_before_2")))
