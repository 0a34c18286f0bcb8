"""Which connections of a connector there are in one place: from the read model, once it is far enough."""

import asyncio

from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import ConnectionId
from fairlead.ports import SqlDatabase

READ_MODEL = "connections"
LOOKS = 40
PAUSE_S = 0.05

_AS_FAR = "SELECT sequence FROM projection_positions WHERE shard = %(shard)s AND name = %(name)s"
_THERE = """
SELECT connection_id
  FROM connections
 WHERE tenant_id = %(tenant_id)s AND workspace_id = %(workspace_id)s AND environment_id = %(environment_id)s
   AND connector = %(connector)s AND standing <> 'deleted'
 ORDER BY connection_id
 LIMIT 2
"""


class Row(Struct, frozen=True):
    connection_id: ConnectionId


class _At(Struct, frozen=True):
    sequence: int


class PostgresConnectionDirectory:
    def __init__(self, database: SqlDatabase, *, shard: int = 0) -> None:
        self._database = database
        self._shard = shard

    async def of_connector(
        self,
        tenant_id: TenantId,
        workspace_id: WorkspaceId,
        environment_id: EnvironmentId,
        connector: str,
        at_least: LogSequence | None = None,
    ) -> list[ConnectionId]:
        if at_least is not None:
            await self._far_enough(at_least)
        place = {
            "tenant_id": tenant_id,
            "workspace_id": workspace_id,
            "environment_id": environment_id,
            "connector": connector,
        }
        async with self._database.read(tenant_id) as tx:
            return [row.connection_id for row in await tx.rows(_THERE, place, Row)]

    async def _far_enough(self, at_least: LogSequence) -> None:
        """Raises Unavailable."""
        for _ in range(LOOKS):
            async with self._database.platform() as tx:
                known = await tx.row(_AS_FAR, {"shard": self._shard, "name": READ_MODEL}, _At)
            if known is not None and known.sequence >= at_least:
                return
            await asyncio.sleep(PAUSE_S)
        raise Unavailable(f"the read model {READ_MODEL}")
