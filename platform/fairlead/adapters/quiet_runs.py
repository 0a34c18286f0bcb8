"""Runs that have not moved for a while, for the watch. Under the engine's role, which may see those of all tenants."""

from collections.abc import Sequence

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.postgres import Database
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant

_DUE = """
SELECT tenant_id, run_id FROM open_work WHERE look_at <= %(now)s ORDER BY look_at LIMIT %(limit)s
"""
_LOOK_AGAIN = """
UPDATE open_work SET look_at = %(look_at)s WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s
"""


class _Due(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    run_id: RunId


class QuietRuns:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: Instant, limit: int) -> list[tuple[TenantId, RunId]]:
        async with self._database.platform() as tx:
            found = await tx.rows(_DUE, {"now": now, "limit": limit}, _Due)
        return [(due.tenant_id, due.run_id) for due in found]

    async def look_again(self, runs: Sequence[tuple[TenantId, RunId, Instant]]) -> None:
        if runs:
            rows = [{"tenant": tenant, "run_id": run_id, "look_at": look_at} for tenant, run_id, look_at in runs]
            async with self._database.platform() as tx:
                await tx.run_many(_LOOK_AGAIN, rows)
