"""Which model is asked next for a call, by the tenant's route and what is known at that moment; and what stands before
it. Nothing is sent here: whoever asks records the choice before it asks the provider.
"""

from collections.abc import Iterable, Sequence

from fairlead_sdk.models import ModelService
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.prices import Priced, PriceUnknown
from fairlead.domain.routing.asking import Choice, NoRoute, Reason, Route, Tried, Wanted
from fairlead.domain.routing.choosing import choose
from fairlead.domain.routing.document import MAX_CANDIDATES, Candidate, RouteDocument
from fairlead.domain.routing.hindering import outside
from fairlead.domain.routing.standing import Residency, Situation, Standing
from fairlead.handling.model_entrance import Counter, Ended, Entered, Entrance, Held
from fairlead.handling.model_hosts import ModelHosts
from fairlead.handling.model_standings import ModelKey, ModelStandings
from fairlead.handling.prices import PriceBook
from fairlead.handling.tenant_routes import TenantRoutes
from fairlead.ports import Manifests

LEAST_WAIT_S = 0.1
BROUGHT = ""  # the name of a route that is not the tenant's


class Taken(Struct, frozen=True):
    """A choice with a place for it, where somebody is asked. Give it back with `ModelRouter.ended`, whatever came of
    it."""

    choice: Choice
    entered: Entered | None


class ModelRouter:
    """One for each process."""

    def __init__(
        self,
        routes: TenantRoutes,
        manifests: Manifests,
        prices: PriceBook,
        hosts: ModelHosts,
        standings: ModelStandings,
        entrance: Entrance,
    ) -> None:
        self._routes = routes
        self._manifests = manifests
        self._prices = prices
        self._hosts = hosts
        self._standings = standings
        self._entrance = entrance

    async def choose(
        self, tenant_id: TenantId, route: str | RouteDocument, wanted: Wanted, tried: Sequence[Tried] = ()
    ) -> Choice | NoRoute:
        """`route` is one of the tenant's, or what a workflow brings along. `tried` are the attempts of this call so
        far, the last one last. Takes no place. Raises Unavailable."""
        found = await self._route(tenant_id, route)
        if found is None:
            reason = "the tenant has no route of this name"
            return NoRoute(by="route", code="route_not_found", reason=reason, route=str(route))
        return choose(found, wanted, await self._situation(tenant_id, found, wanted), tried)

    async def take(
        self, tenant_id: TenantId, route: str | RouteDocument, wanted: Wanted, tried: Sequence[Tried] = ()
    ) -> Taken | NoRoute:
        """A choice whose limits have room and whose provider's breaker lets it through. Who has no room just now is
        passed over for as long as that takes. Raises Unavailable."""
        for _ in range(MAX_CANDIDATES + 1):
            choice = await self.choose(tenant_id, route, wanted, tried)
            if isinstance(choice, NoRoute):
                return choice
            counter = _counter(tenant_id, wanted, choice.provider, choice.connection)
            service = await self._service(tenant_id, choice.provider)
            entered = await self._entrance.enter(counter, service.times.total_s if service else 0.0)
            if not isinstance(entered, Held):
                return Taken(choice, entered)
            self._standings.learned(counter, (), max(LEAST_WAIT_S, entered.wait_s))
        reason = "models of the route have no room, and none has for long enough to be taken"
        name = route if isinstance(route, str) else BROUGHT
        return NoRoute(by="limit", code="no_room", reason=reason, route=name, retry_after_s=LEAST_WAIT_S)

    async def ended(self, taken: Taken, ended: Ended | None) -> None:
        """`ended` None: nothing was sent after all. Never raises: what came of a call counts, told or not."""
        if taken.entered is None:
            return
        if ended is not None:
            self._standings.learned(taken.entered.counter, ended.windows, ended.retry_after_s)
        await self._entrance.leave(taken.entered, ended)

    async def explain(
        self, tenant_id: TenantId, route: str, wanted: Wanted, tried: Sequence[Tried] = ()
    ) -> tuple[Choice | NoRoute, Situation] | None:
        """As `choose`, with what is known of each candidate. None: there is no such route. Raises Unavailable."""
        found = await self._routes.route(tenant_id, route)
        if found is None:
            return None
        situation = await self._situation(tenant_id, found, wanted)
        return choose(found, wanted, situation, tried), situation

    async def route(self, tenant_id: TenantId, name: str) -> Route | None:
        """As it is now, for whoever judges by it whether an answer is good enough, or looks for one that was kept.
        Raises Unavailable."""
        return await self._routes.route(tenant_id, name)

    async def barred(self, tenant_id: TenantId, provider: str, regions: Iterable[str] = ()) -> Reason | None:
        """Why the tenant's data may not be sent there, asked directly before it is: `regions` empty are those that the
        provider states. For whoever asks without a route, or long after it chose. Raises Unavailable."""
        residency = await self._routes.residency(tenant_id)
        if residency.providers is not None and provider not in residency.providers:
            return Reason(code="provider_not_allowed", word=provider)
        service = await self._service(tenant_id, provider)
        stated = service.regions if service else ()
        return outside(frozenset(regions) or frozenset(stated), residency.regions)

    async def residency(self, tenant_id: TenantId) -> Residency:
        """What may see the tenant's data. Raises Unavailable."""
        return await self._routes.residency(tenant_id)

    async def _route(self, tenant_id: TenantId, route: str | RouteDocument) -> Route | None:
        if isinstance(route, str):
            return await self._routes.route(tenant_id, route)
        return Route(name=BROUGHT, version=0, document=route)

    async def _situation(self, tenant_id: TenantId, route: Route, wanted: Wanted) -> Situation:
        residency = await self._routes.residency(tenant_id)
        standing = {each.id: await self._standing(tenant_id, each, wanted) for each in route.document.candidates}
        return Situation(residency=residency, standing=standing)

    async def _standing(self, tenant_id: TenantId, candidate: Candidate, wanted: Wanted) -> Standing:
        service = await self._service(tenant_id, candidate.provider)
        if service is None:
            return Standing()
        counter = _counter(tenant_id, wanted, candidate.provider, candidate.connection)
        closed_for_s = await self._entrance.closed_for_s(counter)
        return Standing(
            service=service,
            priced=await self._priced(counter, candidate, service),
            breaker="closed" if closed_for_s is None else "open" if closed_for_s > 0 else "cooled",
            cools_in_s=closed_for_s or 0.0,
            room_in_s=self._standings.room_in_s(counter),
            figures=self._standings.figures(ModelKey(tenant_id, candidate.provider, candidate.model)),
        )

    async def _service(self, tenant_id: TenantId, provider: str) -> ModelService | None:
        """None: the tenant has no such provider."""
        manifest = await self._manifests.manifest(tenant_id, provider)
        return manifest.models if manifest else None

    async def _priced(self, counter: Counter, candidate: Candidate, service: ModelService) -> Priced | None:
        host = await self._hosts.of(counter, service)
        try:
            return await self._prices.price(counter.tenant_id, candidate.provider, candidate.model, host=host)
        except PriceUnknown:
            return None


def _counter(tenant_id: TenantId, wanted: Wanted, provider: str, connection: str | None) -> Counter:
    return Counter(
        tenant_id=tenant_id,
        workspace_id=wanted.workspace_id,
        environment_id=wanted.environment_id,
        provider=provider,
        connection=connection or "",
    )
