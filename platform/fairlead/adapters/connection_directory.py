"""Which connections of a connector there are in one place: from the read model."""

from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.ids import ConnectionId
from fairlead.ports import SqlDatabase

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


class PostgresConnectionDirectory:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def of_connector(
        self, tenant_id: TenantId, workspace_id: WorkspaceId, environment_id: EnvironmentId, connector: str
    ) -> list[ConnectionId]:
        place = {
            "tenant_id": tenant_id,
            "workspace_id": workspace_id,
            "environment_id": environment_id,
            "connector": connector,
        }
        async with self._database.read(tenant_id) as tx:
            return [row.connection_id for row in await tx.rows(_THERE, place, Row)]
