"""The router asks by the tenant's own route, its prices and providers, what was heard of them, and past their gates."""

from typing import Any

import msgspec
from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain import breakers as b
from fairlead.domain.connections.events import ConnectionCreated
from fairlead.domain.connections.naming import connection_id
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.domain.models.failures import Window
from fairlead.domain.outages import LEAST_FAILURES
from fairlead.domain.prices import PriceTable, Rates
from fairlead.domain.routing import residency as r
from fairlead.domain.routing import routes as rt
from fairlead.domain.routing.asking import Choice, NoRoute, Reason, Wanted
from fairlead.handling.handler import Cause
from fairlead.handling.model_entrance import Ended
from fairlead.handling.model_hosts import ModelHosts
from fairlead.handling.model_router import ModelRouter, Taken
from fairlead.handling.model_standings import ModelStandings
from fairlead.handling.prices import PriceBook
from fairlead.handling.tenant_routes import FRESH_FOR, TenantRoutes
from fairlead.workers.call_limits import Bound, CallLimits
from fairlead.workers.gates import LIMITS_AGAIN_S
from fairlead.workers.model_gates import ModelGates, ToldLimits
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.histories import Writer
from tests.support.platform import Platform, running
from tests.support.routing import candidate, document, service, wanted
from tests.support.tenancy import DEFAULT, LIVE, TENANT

THEIRS = TenantId("tnt_theirs")
LOST = Ended(error_class="timeout", code="timeout")
ACME = Manifest(
    name="acme", title="Acme", version="1.0.0", tools=(), auth=Auth(kind=AuthKind.API_KEY), models=service()
)
LOCAL = Manifest(
    name="local",
    title="Local",
    version="1.0.0",
    tools=(),
    auth=Auth(kind=AuthKind.API_KEY),
    egress=("{base_url}",),
    config=(ConfigField(name="base_url", title="Address"),),
    models=msgspec.structs.replace(service(), base_url="{base_url}"),
)


def rates(provider: str, output: int = 1_000_000) -> Rates:
    return Rates(provider=provider, model="*", valid_from=T0, input=0, output=output)


TABLE = PriceTable(version="2026-03", rates=(rates("acme"), rates("other"), rates("models.example", 2_000_000)))


class Providers:
    def __init__(self) -> None:
        self.here = {"acme": ACME, "other": msgspec.structs.replace(ACME, name="other"), "local": LOCAL}

    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:  # noqa: ARG002  # all have them
        return self.here.get(connector)


class Office:
    def __init__(self) -> None:
        self.platform = platform = Platform(Books().keyed())
        self.providers = Providers()
        self.standings = ModelStandings(platform.steady)
        self.routes = TenantRoutes(platform.log, platform.clock)
        told = ToldLimits(CallLimits(self.providers, Bound(), {}))
        self.gates = platform.main.gates("w1", limits_of=told)
        self.router = ModelRouter(
            self.routes,
            self.providers,
            PriceBook(platform.log, platform.clock, TABLE, {}),
            ModelHosts(platform.log, platform.clock),
            self.standings,
            ModelGates(self.gates, told),
        )

    async def do(self, stream: StreamRef, command: Any) -> None:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self.platform.ids.new("cmd")))
        await self.platform.main.handler.handle(stream, command, cause)
        self.platform.clock.forward(FRESH_FOR)

    async def publish(self, *candidates: dict[str, Any]) -> None:
        command = rt.PublishRoute(name="cheap", document=document(*candidates), reason="Because.", now=T0)
        await self.do(rt.route_stream(TENANT, "cheap"), command)

    async def ask(self, tenant_id: TenantId = TENANT) -> Choice | NoRoute:
        return await self.router.choose(tenant_id, "cheap", here())

    async def chosen(self) -> Choice:
        found = await self.ask()
        assert isinstance(found, Choice), found
        return found

    async def take(self) -> Taken:
        found = await self.router.take(TENANT, "cheap", here())
        assert isinstance(found, Taken), found
        return found


def here() -> Wanted:
    return msgspec.structs.replace(wanted(), workspace_id=DEFAULT, environment_id=LIVE)


async def test_a_route_is_its_own_tenants_alone_and_what_is_published_counts_within_a_moment() -> None:
    office = Office()
    async with running(office.gates.run()):
        await office.publish(candidate("a"))
        found = await office.chosen()
        assert (found.candidate, found.route_version, found.reserve_usd_micros) == ("a", 1, 100)
        theirs = await office.ask(THEIRS)
        assert isinstance(theirs, NoRoute)
        assert (theirs.by, theirs.code) == ("route", "route_not_found")
        await office.publish(candidate("b"))
        found = await office.chosen()
        assert (found.candidate, found.route_version) == ("b", 2)
        await office.do(rt.route_stream(TENANT, "cheap"), rt.RetireRoute(reason="Too dear."))
        assert isinstance(await office.ask(), NoRoute)


async def test_what_the_tenant_says_of_regions_counts_before_what_its_route_says() -> None:
    office = Office()
    async with running(office.gates.run()):
        await office.publish(candidate("a", regions=["us"]), candidate("b", regions=["eu"], weight=0))
        assert await office.router.barred(TENANT, "acme") is None
        said = r.ChangeResidency(
            regions=("eu",), providers=("acme",), reason="The law.", by=PrincipalId("prn_a"), now=T0
        )
        await office.do(r.residency_stream(TENANT), said)
        found = await office.chosen()
        assert (found.candidate, found.region) == ("b", "eu")
        assert [(each.candidate, each.because.code) for each in found.passed_over] == [("a", "region_not_allowed")]
        assert await office.router.barred(TENANT, "acme", ["eu"]) is None
        assert await office.router.barred(TENANT, "acme") == Reason(code="region_unknown")
        assert await office.router.barred(TENANT, "other", ["eu"]) == Reason(code="provider_not_allowed", word="other")
        assert await office.router.barred(THEIRS, "other") is None


async def test_a_provider_that_the_tenant_does_not_have_is_never_asked() -> None:
    office = Office()
    async with running(office.gates.run()):
        await office.publish(candidate("a", provider="nobody"))
        found = await office.ask()
        assert isinstance(found, NoRoute)
        assert found.code == "provider_missing"


async def test_an_account_that_said_it_is_full_is_left_alone_until_it_is_not() -> None:
    office = Office()
    async with running(office.gates.run()):
        await office.publish(candidate("a"), candidate("b", connection="second", weight=0))
        full = Window(kind="requests", limit=50, remaining=0, resets_in_s=12.0)
        await office.router.ended(await office.take(), Ended(windows=(full,)))
        found = await office.chosen()
        assert (found.candidate, found.connection) == ("b", "second")
        office.platform.steady.forward(12.5)
        assert (await office.chosen()).candidate == "a"


async def test_a_provider_that_answers_nobody_is_left_alone_and_one_call_finds_out_whether_it_does_again() -> None:
    office = Office()
    async with running(office.gates.run()):
        await office.publish(candidate("a"), candidate("b", provider="other", weight=0))
        for _ in range(LEAST_FAILURES):
            await office.router.ended(await office.take(), LOST)
        breaker = StreamRef(TENANT, "breaker", b.breaker_id(LIVE, "acme", None))
        assert [type(fact) for fact in await office.platform.history(breaker)] == [b.BreakerOpened]
        during = await office.chosen()
        assert (during.candidate, during.passed_over[0].because.code) == ("b", "breaker_open")
        office.platform.steady.forward(b.COOLING_S)
        probe = await office.take()
        assert (probe.choice.candidate, probe.choice.probe) == ("a", True)
        assert (await office.take()).choice.candidate == "b"
        await office.router.ended(probe, Ended())
        assert (await office.chosen()).candidate == "a"


async def test_so_many_are_asked_at_once_and_a_minute_as_the_provider_says_and_the_next_goes_elsewhere() -> None:
    office = Office()
    office.providers.here["acme"] = msgspec.structs.replace(ACME, max_concurrent=1)
    async with running(office.gates.run()):
        await office.publish(candidate("a"), candidate("b", provider="other", weight=0))
        first = await office.take()
        assert first.choice.candidate == "a"
        assert (await office.take()).choice.candidate == "b"
        told = Window(kind="requests", limit=1, remaining=1, resets_in_s=30.0)
        await office.router.ended(first, Ended(windows=(told,)))
        office.platform.steady.forward(LIMITS_AGAIN_S)
        second = await office.take()
        assert second.choice.candidate == "a"
        await office.router.ended(second, Ended())
        assert (await office.take()).choice.candidate == "b"


async def test_where_the_address_is_a_connections_its_host_has_the_price() -> None:
    office = Office()
    name = connection_id(TENANT, DEFAULT, LIVE, "box")
    created = ConnectionCreated(
        connection_id=name,
        workspace_id=DEFAULT,
        environment_id=LIVE,
        connector="local",
        name="box",
        auth=AuthKind.API_KEY,
        config={"base_url": "https://models.example/v1"},
        scopes=(),
    )
    office.platform.ids.new("cmd")  # the writer's
    await Writer(office.platform.log).append(StreamRef(TENANT, "connection", name), created)
    async with running(office.gates.run()):
        await office.publish(candidate("a", provider="local", connection="box"))
        assert (await office.chosen()).reserve_usd_micros == 200
        await office.publish(candidate("a", provider="local"))
        found = await office.ask()
        assert isinstance(found, NoRoute)
        assert (found.by, found.code) == ("price", "price_unknown")
