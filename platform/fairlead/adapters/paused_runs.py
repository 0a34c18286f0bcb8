"""Runs that a switch has paused, of all tenants. Under the engine's role, which may see them."""

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.postgres import Database
from fairlead.domain.ids import RunId

_PAUSED = """
SELECT tenant_id, run_id FROM switch_pauses
 WHERE (tenant_id, run_id) > (%(tenant)s, %(run_id)s)
 ORDER BY tenant_id, run_id
 LIMIT %(limit)s
"""


class _Paused(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    run_id: RunId


class PausedRuns:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, place: tuple[str, str], limit: int) -> list[tuple[TenantId, RunId]]:
        wanted = {"tenant": place[0], "run_id": place[1], "limit": limit}
        async with self._database.platform() as tx:
            found = await tx.rows(_PAUSED, wanted, _Paused)
        return [(paused.tenant_id, paused.run_id) for paused in found]
