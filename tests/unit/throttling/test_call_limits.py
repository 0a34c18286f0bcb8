"""Which limits a call falls under, and whose calls they count together."""

import pytest
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, TenantId

from fairlead.adapters.plugins import Connectors
from fairlead.app import host_limits
from fairlead.domain.throttling import Limit
from fairlead.settings import Settings
from fairlead.workers.call_limits import Bound, CallLimits
from fairlead.workers.gates import Asked
from tests.support.connectors import BillsConnector, known, manifest, tool

PROVIDER = "api.bills.example"


def asked(tenant: str = "tnt_a", environment: str = "env_1", connection: str = "con_1", name: str = "pay") -> Asked:
    return Asked(
        tenant_id=TenantId(tenant),
        environment_id=EnvironmentId(environment),
        tool=f"bills.{name}",
        effect=Effect.WRITE,
        timeout_s=5.0,
        connection=connection,
    )


async def limits_of(wanted: Asked, tenant: Bound = Bound(), hosts: tuple[str, ...] = ()) -> dict[str, Limit]:  # noqa: B008  # frozen
    tools = (tool(calls_per_minute=10), tool("bills.look", max_concurrent=2))
    said = manifest(*tools, calls_per_minute=100, egress=(PROVIDER, "{base_url}"))
    counted = CallLimits(known(Connectors([BillsConnector(said)])), tenant, host_limits(Settings(host_limits=hosts)))
    return {limit.name: limit for limit in await counted(wanted)}


async def test_a_call_falls_under_the_limits_of_its_tool_connector_tenant_and_provider() -> None:
    found = await limits_of(asked(), Bound(1_000, 50), (f"{PROVIDER}=600/8", "other.example=1"))
    assert {name: (limit.calls_per_minute, limit.max_concurrent, limit.shared) for name, limit in found.items()} == {
        "tool bills.pay": (10, None, False),
        "connector bills": (100, None, False),
        "all calls of the tenant": (1_000, 50, False),
        f"host {PROVIDER}": (600, 8, True),
    }


async def test_what_nobody_limits_is_not_counted() -> None:
    assert set(await limits_of(asked(name="look"))) == {"tool bills.look", "connector bills"}


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (asked(name="look"), {"connector bills", "all calls of the tenant", f"host {PROVIDER}"}),
        (asked(connection="con_2"), {"all calls of the tenant", f"host {PROVIDER}"}),
        (asked(environment="env_2"), {"all calls of the tenant", f"host {PROVIDER}"}),
        (asked("tnt_b"), {f"host {PROVIDER}"}),
    ],
)
async def test_tenants_have_nothing_in_common_but_a_provider_and_accounts_nothing_but_their_tenant(
    other: Asked, together: set[str]
) -> None:
    every = (Bound(1_000), (f"{PROVIDER}=600",))
    here, there = await limits_of(asked(), *every), await limits_of(other, *every)
    assert {name for name in here if name in there and here[name].key == there[name].key} == together


def test_a_host_may_be_bounded_in_calls_at_once_alone() -> None:
    found = host_limits(Settings(host_limits=("a.example=60", "b.example=0/3")))
    assert found == {"a.example": Bound(60, None), "b.example": Bound(None, 3)}
