"""Gives parked commits again to whoever parked them: what `fairlead replay` does, on the engines themselves."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.postgres import Database
from fairlead.app import PROJECTIONS, Core, core, process_managers, process_runner
from fairlead.consumers.replay import Replayed, replay
from fairlead.domain.errors import NotFound
from fairlead.operating import on_engines, tenants
from fairlead.settings import Settings

Again = Callable[[TenantId], Awaitable[Replayed]]


class ReplayRow(Struct, frozen=True, kw_only=True):
    """What came of it for one tenant; `left` commits are still parked, the first of them because of `error`."""

    name: str
    tenant_id: TenantId
    done: int
    left: int
    error: str | None


async def replay_parked(
    settings: Settings, environment: Mapping[str, str], names: Sequence[str], tenant_ids: Sequence[str]
) -> list[ReplayRow]:
    """No name is all of them, and so is no tenant. Where nothing was parked there is no row. Raises NotFound."""
    async with on_engines(settings) as engines, core(engines, environment, "replay") as parts:
        assert engines.database_engine_url is not None, "engines are named completely or not at all"
        async with Database(engines.database_engine_url, max_connections=2) as database:
            chosen = _chosen(names, _by_name(parts, database))
            whose = [TenantId(each) for each in tenant_ids] or [row.tenant_id async for row in tenants(parts.log)]
            found = [(name, tenant, await again(tenant)) for name, again in chosen.items() for tenant in whose]
    return [
        ReplayRow(name=name, tenant_id=tenant, done=result.done, left=result.left, error=result.error)
        for name, tenant, result in found
        if result.done or result.left
    ]


def _by_name(parts: Core, database: Database) -> dict[str, Again]:
    projections: dict[str, Again] = {
        projection.NAME: partial(replay, parts.log, database, projection) for projection in PROJECTIONS
    }
    managers: dict[str, Again] = {
        manager.NAME: process_runner(parts, database, manager).replay for manager in process_managers(parts.settings)
    }
    return projections | managers


def _chosen(names: Sequence[str], known: Mapping[str, Again]) -> dict[str, Again]:
    for name in names:
        if name not in known:
            raise NotFound(f"nothing called {name} parks commits; there are {', '.join(known)}")
    return {name: known[name] for name in names or known}
