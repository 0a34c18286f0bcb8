"""The router asks by the tenant's own route, its prices and its providers, and what was heard of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fairlead_sdk import Auth, AuthKind, Manifest
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.models.failures import Window
from fairlead.domain.prices import PriceTable, Rates
from fairlead.domain.routing import residency as r
from fairlead.domain.routing import routes as rt
from fairlead.domain.routing.asking import Choice, NoRoute
from fairlead.handling.model_router import ModelRouter
from fairlead.handling.model_standings import AccountKey, ModelKey, ModelStandings
from fairlead.handling.tenant_routes import FRESH_FOR, TenantRoutes
from tests.support.clock import T0, ManualClock, SteadyClock
from tests.support.histories import CODEC, Writer
from tests.support.routing import candidate, document, service, wanted

OURS, THEIRS = TenantId("tnt_ours"), TenantId("tnt_theirs")
TABLE = PriceTable(
    version="2026-03", rates=(Rates(provider="acme", model="*", valid_from=T0, input=1_000_000, output=1_000_000),)
)
ACME = Manifest(
    name="acme", title="Acme", version="1.0.0", tools=(), auth=Auth(kind=AuthKind.API_KEY), models=service()
)


class Providers:
    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:  # noqa: ARG002  # all have it
        return ACME if connector == "acme" else None


class Prices:
    async def of(self, tenant_id: TenantId) -> Sequence[PriceTable]:  # noqa: ARG002  # everybody's
        return (TABLE,)


class Office:
    def __init__(self) -> None:
        self.log = MemoryLog(CODEC)
        self.writer = Writer(self.log)
        self.clock = ManualClock(T0 + timedelta(days=1))
        self.steady = SteadyClock()
        self.standings = ModelStandings(self.steady)
        self.routes = TenantRoutes(self.log, self.clock)
        self.router = ModelRouter(self.routes, Providers(), Prices(), self.standings, self.clock)

    async def publish(self, *candidates: dict[str, Any], version: int = 1, **fields: Any) -> None:
        event = rt.RoutePublished(
            name="cheap",
            version=version,
            document=document(*candidates, **fields),
            document_hash=str(version),
            reason="Because.",
            published_at=T0,
        )
        await self.writer.append(rt.route_stream(OURS, "cheap"), event)

    async def ask(self, tenant_id: TenantId = OURS, **fields: Any) -> Choice | NoRoute:
        return await self.router.choose(tenant_id, "cheap", wanted(**fields))


async def test_a_route_is_its_own_tenants_alone_and_what_is_published_counts_within_a_moment() -> None:
    office = Office()
    await office.publish(candidate("a"))
    found = await office.ask()
    assert isinstance(found, Choice)
    assert (found.candidate, found.route_version, found.reserve_usd_micros) == ("a", 1, 100)
    theirs = await office.ask(THEIRS)
    assert isinstance(theirs, NoRoute)
    assert (theirs.by, theirs.code) == ("route", "route_not_found")
    await office.publish(candidate("b"), version=2)
    office.clock.forward(FRESH_FOR)
    found = await office.ask()
    assert isinstance(found, Choice)
    assert (found.candidate, found.route_version) == ("b", 2)
    await office.writer.append(rt.route_stream(OURS, "cheap"), rt.RouteRetired(reason="Too dear."))
    office.routes.changed(rt.route_stream(OURS, "cheap"))
    assert isinstance(await office.ask(), NoRoute)


async def test_what_the_tenant_says_of_regions_counts_before_what_its_route_says() -> None:
    office = Office()
    await office.publish(candidate("a", regions=["us"]), candidate("b", regions=["eu"], weight=0))
    event = r.ResidencyChanged(
        version=1, regions=("eu",), providers=None, changed_by=PrincipalId("prn_a"), changed_at=T0, reason="The law."
    )
    await office.writer.append(r.residency_stream(OURS), event)
    found = await office.ask()
    assert isinstance(found, Choice)
    assert (found.candidate, found.region) == ("b", "eu")
    assert [(each.candidate, each.because.code) for each in found.passed_over] == [("a", "region_not_allowed")]


async def test_a_provider_or_a_price_that_nobody_knows_is_never_asked() -> None:
    office = Office()
    await office.publish(candidate("a", provider="nobody"))
    found = await office.ask()
    assert isinstance(found, NoRoute)
    assert found.code == "provider_missing"


async def test_an_account_that_said_it_is_full_is_left_alone_until_it_is_not() -> None:
    office = Office()
    await office.publish(candidate("a"), candidate("b", connection="second", weight=0))
    account = AccountKey(OURS, wanted().environment_id, "acme", "")
    office.standings.learned(account, (Window(kind="requests", limit=50, remaining=0, resets_in_s=12.0),))
    assert office.standings.calls_per_minute(account) == 50
    found = await office.ask()
    assert isinstance(found, Choice)
    assert (found.candidate, found.connection) == ("b", "second")
    office.steady.forward(12.5)
    found = await office.ask()
    assert isinstance(found, Choice)
    assert found.candidate == "a"


def test_figures_are_those_of_the_last_minutes() -> None:
    steady = SteadyClock()
    standings = ModelStandings(steady)
    key = ModelKey(OURS, "acme", "a-1")
    for latency_ms in range(1, 21):
        standings.answered(key, latency_ms)
    standings.failed(key)
    standings.checked(key, right=False)
    standings.checked(key, right=True)
    found = standings.figures(key)
    assert (found.calls, found.failures, found.failure_percent) == (21, 1, 5)
    assert (found.p50_ms, found.p95_ms, found.quality_percent) == (10, 19, 50)
    assert standings.figures(ModelKey(THEIRS, "acme", "a-1")).calls == 0
    steady.forward(901)
    assert standings.figures(key).calls == 0
