"""Which runs the watch looks at next, of all tenants: the one question that the engine's role may ask across fences.

The table holds ids and times only.
"""

from collections.abc import Sequence

import msgspec
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.postgres import Database
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant

_DUE = """
SELECT tenant_id, run_id FROM open_work WHERE look_at <= %(now)s ORDER BY look_at LIMIT %(limit)s
"""
_LOOK_AGAIN = """
UPDATE open_work AS w
   SET look_at = r.look_at
  FROM json_to_recordset(%(rows)s) AS r (tenant_id text, run_id text, look_at timestamptz)
 WHERE w.tenant_id = r.tenant_id AND w.run_id = r.run_id
"""


class _Row(Struct, frozen=True):
    tenant_id: TenantId
    run_id: RunId


class _Next(Struct, frozen=True):
    tenant_id: TenantId
    run_id: RunId
    look_at: Instant


class PostgresQuietRuns:
    """`database` is connected as the engine's role."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: Instant, limit: int) -> list[tuple[TenantId, RunId]]:
        async with self._database.platform() as tx:
            rows = await tx.rows(_DUE, {"now": now, "limit": limit}, _Row)
        return [(row.tenant_id, row.run_id) for row in rows]

    async def look_again(self, runs: Sequence[tuple[TenantId, RunId, Instant]]) -> None:
        if runs:
            rows = msgspec.json.encode([_Next(*run) for run in runs]).decode()
            async with self._database.platform() as tx:
                await tx.run(_LOOK_AGAIN, {"rows": rows})
