"""Runs that wait for an account, from the read model, once it is far enough. Under the engine's role."""

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.postgres import Database
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import RunId

READ_MODEL = "run_board"

_AS_FAR = "SELECT sequence FROM projection_positions WHERE shard = %(shard)s AND name = %(name)s"
_WAITING = """
SELECT DISTINCT run_id
  FROM tool_calls
 WHERE connection_id = %(connection_id)s AND (status = 'awaiting_connection' OR compensation = 'waiting_for_person')
 ORDER BY run_id
"""


class _At(Struct, frozen=True):
    sequence: int


class _Run(Struct, frozen=True):
    run_id: RunId


class WaitingRuns:
    def __init__(self, database: Database, *, shard: int = 0) -> None:
        self._database = database
        self._shard = shard

    async def for_connection(self, tenant_id: TenantId, connection_id: str, at_least: LogSequence) -> list[RunId]:
        async with self._database.platform() as tx:
            known = await tx.row(_AS_FAR, {"shard": self._shard, "name": READ_MODEL}, _At)
        if known is None or known.sequence < at_least:
            raise Unavailable(f"the read model {READ_MODEL}")
        async with self._database.read(tenant_id) as tx:
            return [row.run_id for row in await tx.rows(_WAITING, {"connection_id": connection_id}, _Run)]
