"""A drill counts what its switch stops, and nothing else."""

import asyncio
from typing import Any

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.switches.board import NotYourSwitch, Target, read_target
from fairlead.drilling import Drill, NothingToStop, drill
from fairlead.stopping import Operator
from tests.support.books import Books
from tests.support.connectors import tool
from tests.support.platform import WORKFLOW, Platform, running
from tests.support.tenancy import DEFAULT, LIVE, TENANT

SHORT: dict[str, Any] = {"load_s": 0.15, "quiet_s": 0.1}
ELSEWHERE = TenantId("tnt_elsewhere")


async def measured(target: str, *modes: Any, holder: TenantId = TENANT) -> int:
    """Runs of one payment each follow each other meanwhile."""
    async with Platform(tool(run=Books().pay)).at_work() as platform:
        found = Operator(platform.log, platform.main.switching, holder, platform.clock)
        wanted = Drill(target=read_target(target), modes=modes or ("pause_runs",), holder=holder, **SHORT)

        async def load() -> None:
            while True:
                await platform.start({"number": "1"})
                await asyncio.sleep(0.005)  # leaves the others a turn

        async with running(_until_refused(load())):
            drilled = await drill(found, wanted)
        assert (await found.board()).on == {}
        assert drilled.target == wanted.target
        return drilled.calls_before


async def _until_refused(load: Any) -> None:
    try:
        await load
    except Exception:  # noqa: BLE001  # the switch says no: that is what it is for
        return


@pytest.mark.parametrize(
    "target",
    [f"environment:{LIVE}", f"workspace:{DEFAULT}", f"workflow:{WORKFLOW}", "connector:bills", "tool:bills.pay"],
)
async def test_each_scope_of_a_tenant_is_drilled(target: str) -> None:
    assert await measured(target) > 0


@pytest.mark.parametrize("modes", [("deny_writes",), ("deny_all",), ("stop_starts",)])
async def test_each_mode_is_drilled(modes: tuple[Any, ...]) -> None:
    assert await measured(f"tenant:{TENANT}", *modes) > 0


@pytest.mark.parametrize("target", ["workflow:wfl_other", "tool:bills.list", "connector:mail"])
async def test_what_goes_on_elsewhere_is_no_load(target: str) -> None:
    with pytest.raises(NothingToStop):
        await measured(target)


async def test_the_installation_sets_no_switch_of_a_tenants_own_scopes() -> None:
    with pytest.raises(NotYourSwitch):
        await measured(f"workflow:{WORKFLOW}", holder=INSTALLATION)
    assert await measured(Target("tenant", TENANT).id, holder=INSTALLATION) > 0
