"""The tools that a tenant has: installed ones, and those of its own sets in the version that was meant."""

from typing import Any

import pytest
from fairlead_tenants.ids import TenantId

from benchmarks.openapi import public_style
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.plugins import Connectors
from fairlead.domain import toolsets
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.domain.toolsets import (
    DefineToolset,
    ImportToolset,
    definition_of,
    definition_stream,
    toolset_stream,
)
from fairlead.handling.handler import Cause, Decider, Handler
from fairlead.handling.tenant_tools import KEPT_TOOLS, TenantTools
from fairlead.registry import TENANTS
from fairlead_http import HttpConnector
from tests.support.clock import ManualClock
from tests.support.connectors import BillsConnector, manifest
from tests.support.openapi import described, imported

ALICE, BOB = TenantId("tnt_a"), TenantId("tnt_b")
DECIDER = Decider(initial=toolsets.initial, evolve=toolsets.evolve, decide=toolsets.decide)


class World:
    def __init__(self) -> None:
        self.log = MemoryLog(Codec(EVENTS, UPCASTERS))
        self.clock = ManualClock()
        self.handler = Handler(self.log, self.clock, {"toolset": DECIDER, "tenant": TENANTS})
        self.connectors = Connectors([BillsConnector(manifest()), HttpConnector()])
        self._commands = 0

    @property
    def tools(self) -> TenantTools:
        """As a process that has just begun."""
        return TenantTools(self.log, self.connectors, self.clock)

    async def imports(self, tenant_id: TenantId, document: dict[str, Any], name: str = "crm") -> None:
        tool_set = imported(document, name=name).tool_set
        assert tool_set is not None
        definition, sha256 = definition_of(tool_set)
        define = DefineToolset(name=name, sha256=sha256, definition=definition)
        await self._handle(definition_stream(tenant_id, name, sha256), define)
        command = ImportToolset(
            name=name,
            title=tool_set.title,
            importer="http",
            importer_version="1.0.0",
            source_sha256="s" * 64,
            definition_sha256=sha256,
            hints={},
            tools_by_effect={},
            left_out=0,
            reason="wanted",
        )
        await self._handle(toolset_stream(tenant_id, name), command)

    async def _handle(self, stream: Any, command: Any) -> None:
        self._commands += 1
        await self.handler.handle(stream, command, Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{self._commands}")))


def service(*operations: str) -> dict[str, Any]:
    return described({f"/{each}": {"get": {"operationId": each, "responses": {}}} for each in operations})


@pytest.fixture
def world() -> World:
    return World()


async def test_a_tenant_has_what_is_installed_and_what_it_imported_and_nobody_elses(world: World) -> None:
    await world.imports(ALICE, service("list_things"))
    names = ["bills.pay", "crm.list_things", "crm.nothing", "nowhere.at_all"]
    assert set(await world.tools.catalogue(ALICE, names)) == {*world.connectors.catalogue, "crm.list_things"}
    assert set(await world.tools.catalogue(BOB, names)) == set(world.connectors.catalogue)
    assert await world.tools.fitted(BOB, "crm.list_things", "1.0.0") is None
    assert await world.tools.manifest(BOB, "crm") is None


async def test_tenants_have_sets_of_the_same_name_apart(world: World) -> None:
    await world.imports(ALICE, service("list_things"))
    await world.imports(BOB, service("list_others"))
    tools = world.tools
    assert "crm.list_things" in await tools.catalogue(ALICE, ["crm.list_things", "crm.list_others"])
    assert "crm.list_things" not in await tools.catalogue(BOB, ["crm.list_things", "crm.list_others"])
    assert "crm.list_others" in await tools.catalogue(BOB, ["crm.list_things", "crm.list_others"])


async def test_what_was_published_keeps_its_version_and_what_is_new_has_the_newest(world: World) -> None:
    await world.imports(ALICE, service("list_things"))
    await world.imports(ALICE, service("list_things", "list_more"))
    tools = world.tools
    assert (await tools.catalogue(ALICE, ["crm.list_things"]))["crm.list_things"].version == "2.0.0"
    pinned = await tools.catalogue(ALICE, ["crm.list_things", "crm.list_more"], {"crm.list_things": "1.0.0/hash"})
    assert (pinned["crm.list_things"].version, pinned["crm.list_more"].version) == ("1.0.0", "2.0.0")
    first = await tools.fitted(ALICE, "crm.list_things", "1.0.0")
    assert first is not None
    assert (first.manifest.version, first.manifest.egress) == ("1.0.0", ("crm.example.com",))
    assert await tools.fitted(ALICE, "crm.list_more", "1.0.0") is None
    assert await tools.fitted(ALICE, "crm.list_things", "3.0.0") is None


async def test_an_installed_tool_is_not_replaced_by_an_imported_one(world: World) -> None:
    await world.imports(ALICE, service("pay"), name="bills")
    catalogue = await world.tools.catalogue(ALICE, ["bills.pay"])
    assert catalogue["bills.pay"].version == "1.2.3"
    fitted = await world.tools.fitted(ALICE, "bills.pay", "1.0.0")
    assert fitted is not None
    assert fitted.manifest.version == "1.2.3"


@pytest.mark.parametrize(
    "name", ["", "crm", "crm.", ".x", "a.b.c", "crm.list_things.x", "*.x", "crm >.x", "c" * 99 + ".x"]
)
async def test_what_is_no_name_of_a_tool_is_none(world: World, name: str) -> None:
    await world.imports(ALICE, service("list_things"))
    assert name not in await world.tools.catalogue(ALICE, [name])
    assert await world.tools.fitted(ALICE, name, "1.0.0") is None


async def test_the_schemas_of_an_imported_tool_are_held_to(world: World) -> None:
    await world.imports(ALICE, public_style(5))
    catalogue = await world.tools.catalogue(ALICE, ["crm.things0_update"])
    fine = {"id": "1", "body": {"field_0": None, "next": {"field_1": "x"}}}
    assert catalogue.argument_problems("crm.things0_update", fine) == []
    wrong = {"id": "1", "body": {"field_0": 5, "next": {"unknown": 1}}}
    assert {problem.path for problem in catalogue.argument_problems("crm.things0_update", wrong)} >= {"/body/field_0"}


async def test_a_set_is_read_once_and_only_so_many_tools_are_kept_ready(world: World) -> None:
    await world.imports(ALICE, service(*(f"t{number}" for number in range(KEPT_TOOLS + 1))))
    tools = world.tools
    first = await tools.fitted(ALICE, "crm.t0", "1.0.0")
    assert await tools.fitted(ALICE, "crm.t0", "1.0.0") is first
    assert await tools.read(ALICE, "crm", 1) is await tools.read(ALICE, "crm", None)
    for number in range(1, KEPT_TOOLS + 1):
        await tools.fitted(ALICE, f"crm.t{number}", "1.0.0")
    assert await tools.fitted(ALICE, "crm.t0", "1.0.0") is not first
