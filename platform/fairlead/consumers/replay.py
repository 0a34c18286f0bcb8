"""Gives parked commits to their projection again, once what was wrong with it is mended."""

from fairlead_tenants.ids import TenantId

from fairlead.consumers.parking import Parked, parked_of, unpark
from fairlead.consumers.projection import Projection, Standing
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.ports import AnyRecorded, Log, SqlSessions

MAX_REPLAYED_AT_ONCE = 500

_HOLD = """
SELECT shard, name, build, sequence, parked
  FROM projection_positions
 WHERE shard = %(shard)s AND name = %(name)s
   FOR UPDATE
"""
_FEWER_PARKED = """
UPDATE projection_positions SET parked = parked - %(fewer)s WHERE shard = %(shard)s AND name = %(name)s
"""


async def replay(
    log: Log, sessions: SqlSessions, projection: Projection, tenant_id: TenantId, *, shard: int = 0
) -> int:
    """How many commits of the tenant were folded. Ask again until it is 0.

    The live projection stands still meanwhile. If one still cannot be folded, its error is raised and all stay parked.
    """
    where = {"shard": shard, "name": projection.NAME}
    async with sessions.session() as session, session.transaction() as tx:
        standing = await tx.row(_HOLD, where, Standing)
        if standing is None or standing.parked == 0:
            return 0
        await tx.fence(tenant_id)
        parked = await parked_of(tx, standing.name, standing.build, MAX_REPLAYED_AT_ONCE)
        for each in parked:
            await projection.project([await recorded_of(log, each)], tx)
            await unpark(tx, standing.name, standing.build, each.sequence)
        await tx.run(_FEWER_PARKED, {**where, "fewer": len(parked)})
    return len(parked)


async def recorded_of(log: Log, parked: Parked) -> AnyRecorded:
    """What was parked, as the log has it."""
    found = await log.read(parked.stream, LogSequence(parked.sequence - 1))
    assert found, "the log forgets nothing"
    assert found[0].sequence == parked.sequence, "a parked commit names its place in the log"
    return found[0]
