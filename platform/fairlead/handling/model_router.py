"""Which model is asked next for a call, by the tenant's route and what is known at that moment.

Nothing is sent here. Whoever asks records the choice before it asks the provider.
"""

from collections.abc import Sequence
from typing import Protocol

from fairlead_tenants.ids import TenantId

from fairlead.domain.instant import Instant
from fairlead.domain.prices import Priced, PriceTable, PriceUnknown, price_of
from fairlead.domain.routing.asking import Choice, NoRoute, Route, Tried, Wanted
from fairlead.domain.routing.choosing import choose
from fairlead.domain.routing.document import Candidate
from fairlead.domain.routing.standing import Residency, Situation, Standing
from fairlead.handling.model_standings import AccountKey, ModelKey, ModelStandings
from fairlead.handling.tenant_routes import TenantRoutes
from fairlead.ports import Clock, Manifests


class PriceTables(Protocol):
    async def of(self, tenant_id: TenantId) -> Sequence[PriceTable]:
        """The tenant's own before those that everybody has."""


class ModelRouter:
    """One for each process."""

    def __init__(
        self,
        routes: TenantRoutes,
        manifests: Manifests,
        prices: PriceTables,
        standings: ModelStandings,
        clock: Clock,
    ) -> None:
        self._routes = routes
        self._manifests = manifests
        self._prices = prices
        self._standings = standings
        self._clock = clock

    async def choose(
        self, tenant_id: TenantId, route: str, wanted: Wanted, tried: Sequence[Tried] = ()
    ) -> Choice | NoRoute:
        """`tried` are the attempts of this call so far, the last one last. Raises Unavailable."""
        found = await self._routes.route(tenant_id, route)
        if found is None:
            reason = "the tenant has no route of this name"
            return NoRoute(by="route", code="route_not_found", reason=reason, route=route)
        return choose(found, wanted, await self._situation(tenant_id, found, wanted), tried)

    async def _situation(self, tenant_id: TenantId, route: Route, wanted: Wanted) -> Situation:
        residency = await self._routes.residency(tenant_id)
        tables, now = await self._prices.of(tenant_id), self._clock.now()
        return Situation(
            residency=residency,
            standing={
                each.id: await self._standing(tenant_id, each, wanted, tables, now)
                for each in route.document.candidates
            },
        )

    async def _standing(
        self, tenant_id: TenantId, candidate: Candidate, wanted: Wanted, tables: Sequence[PriceTable], now: Instant
    ) -> Standing:
        manifest = await self._manifests.manifest(tenant_id, candidate.provider)
        account = AccountKey(tenant_id, wanted.environment_id, candidate.provider, candidate.connection or "")
        return Standing(
            service=manifest.models if manifest else None,
            priced=_priced(tables, candidate, now),
            room_in_s=self._standings.room_in_s(account),
            figures=self._standings.figures(ModelKey(tenant_id, candidate.provider, candidate.model)),
        )

    async def residency(self, tenant_id: TenantId) -> Residency:
        """What may see the tenant's data. Raises Unavailable."""
        return await self._routes.residency(tenant_id)


def _priced(tables: Sequence[PriceTable], candidate: Candidate, now: Instant) -> Priced | None:
    try:
        return price_of(tables, candidate.provider, candidate.model, now)
    except PriceUnknown:
        return None
