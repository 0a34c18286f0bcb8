"""What tenants say of connectors: read once a second at most, and at once by whoever has just read the tenant."""

from datetime import timedelta

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.plugins import Connectors
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import CommandId
from fairlead.domain.policies import Scope, policy_id
from fairlead.domain.tenants.commands import ChoosePolicy, DisableConnector, TenantCommand, UseConnector
from fairlead.domain.tenants.states import Choice, Tenant
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.tenant_choices import FRESH_FOR, TenantChoices
from fairlead.handling.tenant_tools import TenantTools
from fairlead.ports import AnyRecorded
from fairlead.registry import TENANTS
from tests.support.clock import T0, ManualClock
from tests.support.connectors import BillsConnector, manifest, tool
from tests.support.tenancy import BY_OWNER, CREATE, TENANT

BOB = TenantId("tnt_bob")
STREAM = StreamRef(TENANT, "tenant", TENANT)
OFF = DisableConnector(connector="bills", reason="a hole", by=BY_OWNER, now=T0)
ONE = UseConnector(connector="bills", major=1, by=BY_OWNER, now=T0)


class CountingLog(MemoryLog):
    reads = 0

    async def read(self, stream: StreamRef, after: LogSequence = LogSequence(0)) -> list[AnyRecorded]:
        self.reads += 1
        return await super().read(stream, after)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = CountingLog(Codec(EVENTS, UPCASTERS))
        self.choices = TenantChoices(self.log, self.clock)
        self._handler = Handler(self.log, self.clock, {"tenant": TENANTS})
        self._commands = 0

    async def tell(self, command: TenantCommand) -> Tenant:
        self._commands += 1
        cause = Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{self._commands}"))
        state = (await self._handler.handle(STREAM, command, cause)).state
        assert isinstance(state, Tenant)
        self.log.reads = 0
        return state


@pytest.fixture
async def world() -> World:
    world = World()
    await world.tell(CREATE)
    return world


async def test_a_tenant_that_says_nothing_has_no_choices_and_nobody_sees_anothers(world: World) -> None:
    await world.tell(OFF)
    assert await world.choices.of(TENANT) == {"bills": Choice(enabled=False)}
    assert await world.choices.of(BOB) == {}


async def test_what_is_known_counts_for_a_moment_without_a_read(world: World) -> None:
    first = await world.choices.of(TENANT)
    await world.tell(OFF)
    world.clock.forward(FRESH_FOR - timedelta(microseconds=1))
    assert await world.choices.of(TENANT) is first
    assert world.log.reads == 0
    world.clock.forward(timedelta(microseconds=1))
    assert await world.choices.of(TENANT) == {"bills": Choice(enabled=False)}
    assert world.log.reads == 1


async def test_who_has_just_read_the_tenant_makes_it_known_at_once(world: World) -> None:
    await world.choices.of(TENANT)
    world.choices.saw(await world.tell(OFF))
    assert await world.choices.of(TENANT) == {"bills": Choice(enabled=False)}
    world.choices.saw(await world.tell(ONE))
    world.clock.forward(FRESH_FOR)
    assert await world.choices.of(TENANT) == {"bills": Choice(enabled=True, major=1)}


async def test_it_stays_the_same_object_for_as_long_as_nothing_new_is_said(world: World) -> None:
    state = await world.tell(OFF)
    first = await world.choices.of(TENANT)
    world.choices.saw(state)
    world.clock.forward(FRESH_FOR)
    assert await world.choices.of(TENANT) is first


def connectors() -> Connectors:
    """One beside the program, two versions of another from the catalogue."""
    installed = Connectors([BillsConnector(manifest())])
    desk = [manifest(tool("desk.open"), name="desk", version=version) for version in ("1.0.0", "2.0.0")]
    installed.take({}, [BillsConnector(each) for each in desk], [])
    return installed


async def test_what_a_tenant_uses_changes_with_what_it_says_and_with_what_is_installed(world: World) -> None:
    installed = connectors()
    tools = TenantTools(world.log, installed, world.clock)
    usual = await tools.uses(TENANT)
    assert usual == {"bills": "1.2.3"}
    assert await tools.uses(TENANT) is usual
    assert (await tools.catalogue(TENANT, ["desk.open"])).keys() == {"bills.pay"}
    assert await tools.fitted(TENANT, "desk.open", "1.0.0") is None
    tools.saw(await world.tell(UseConnector(connector="desk", major=1, by=BY_OWNER, now=T0)))
    assert await tools.uses(TENANT) == {"bills": "1.2.3", "desk": "1.0.0"}
    fitted = await tools.fitted(TENANT, "desk.open", "1.0.0")
    assert fitted is not None
    assert fitted.manifest.version == "1.0.0"
    assert (await tools.catalogue(TENANT, []))["desk.open"].version == "1.0.0"
    assert await tools.uses(BOB) == usual
    tools.saw(await world.tell(UseConnector(connector="desk", major=2, version="2.0.0", by=BY_OWNER, now=T0)))
    assert (await tools.installed(TENANT))["desk.open"].version == "2.0.0"
    manifest_in_use = await tools.manifest(TENANT, "desk")
    assert manifest_in_use is not None
    assert manifest_in_use.version == "2.0.0"
    installed.take({}, [], [])
    assert await tools.uses(TENANT) == usual
    assert await tools.fitted(TENANT, "desk.open", "2.0.0") is None
    tools.saw(await world.tell(OFF))
    assert await tools.uses(TENANT) == {}


async def test_how_late_a_policy_is_noticed_that_another_process_put_in_force_is_measured(world: World) -> None:
    assert not await world.choices.policies(TENANT)
    tenant_wide = policy_id(TENANT, Scope())
    await world.tell(
        ChoosePolicy(
            policy_id=tenant_wide,
            workspace_id=None,
            workflow=None,
            move="enforce",
            version=1,
            reason="a test",
            by=BY_OWNER,
            now=T0,
        )
    )
    assert not await world.choices.policies(TENANT), "it may be a moment old"
    world.clock.forward(FRESH_FOR)
    assert tenant_wide in await world.choices.policies(TENANT)
    noticed = world.choices.noticed
    assert (noticed.count, noticed.sum_s, noticed.longest_s) == (1, 1.0, 1.0)
