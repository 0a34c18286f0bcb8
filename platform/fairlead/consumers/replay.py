"""Gives parked commits to their projection again, once what was wrong with it is mended."""

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.consumers.parking import Parked, ParkedStream, parked_in, parked_streams, unpark
from fairlead.consumers.projection import Projection, Standing
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.ports import AnyRecorded, Log, SqlSession, SqlSessions

MAX_REPLAYED_AT_ONCE = 500

_STANDING = """
SELECT shard, name, build, sequence, parked FROM projection_positions WHERE shard = %(shard)s AND name = %(name)s
"""
_HOLD = """
SELECT shard, name, build, sequence, parked
  FROM projection_positions
 WHERE shard = %(shard)s AND name = %(name)s
   FOR UPDATE
"""
_FEWER_PARKED = """
UPDATE projection_positions SET parked = parked - %(fewer)s WHERE shard = %(shard)s AND name = %(name)s
"""


class Replayed(Struct, frozen=True, kw_only=True):
    """Of one tenant: commits that are dealt with now, and those that wait on. `error` is the first that was met."""

    done: int = 0
    left: int = 0
    error: str | None = None

    def and_also(self, other: "Replayed") -> "Replayed":
        return Replayed(done=self.done + other.done, left=self.left + other.left, error=self.error or other.error)


async def replay(
    log: Log, sessions: SqlSessions, projection: Projection, tenant_id: TenantId, *, shard: int = 0
) -> Replayed:
    """Fold the tenant's parked commits, stream by stream. One that still cannot be folded holds up its stream alone.

    The live projection stands still while a stream is folded.
    """
    where = {"shard": shard, "name": projection.NAME}
    result = Replayed()
    async with sessions.session() as session:
        async with session.transaction() as tx:
            standing = await tx.row(_STANDING, where, Standing)
            if standing is None or standing.parked == 0:
                return result
            await tx.fence(tenant_id)
            streams = await parked_streams(tx, standing.name, standing.build)
        for parked in streams:
            stream = StreamRef(tenant_id, parked.kind, parked.stream_id)
            result = result.and_also(await _replay_stream(log, session, projection, standing, stream, parked))
    return result


async def _replay_stream(
    log: Log,
    session: SqlSession,
    projection: Projection,
    standing: Standing,
    stream: StreamRef,
    parked: ParkedStream,
) -> Replayed:
    done = 0
    try:
        while folded := await _fold_some(log, session, projection, standing, stream):
            done += folded
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  # a projection may fail in any way, and other streams do not wait for it
        return Replayed(done=done, left=max(0, parked.commits - done), error=said(error))
    return Replayed(done=done)


async def _fold_some(
    log: Log, session: SqlSession, projection: Projection, standing: Standing, stream: StreamRef
) -> int:
    """How many of the stream were folded, oldest first; 0 once there are none, or the tables have been rebuilt."""
    where = {"shard": standing.shard, "name": standing.name}
    async with session.transaction() as tx:
        held = await tx.row(_HOLD, where, Standing)
        if held is None or held.build != standing.build:
            return 0
        await tx.fence(stream.tenant_id)
        parked = await parked_in(tx, standing.name, standing.build, stream, MAX_REPLAYED_AT_ONCE)
        if parked:
            await projection.project(await recorded_of(log, parked), tx)
        for each in parked:
            await unpark(tx, standing.name, standing.build, each.sequence)
        await tx.run(_FEWER_PARKED, {**where, "fewer": len(parked)})
    return len(parked)


async def recorded_of(log: Log, parked: list[Parked]) -> list[AnyRecorded]:
    """What was parked of one stream, as the log has it. Raises UnreadableCommit."""
    history = await log.read(parked[0].stream, LogSequence(parked[0].sequence - 1))
    on_the_log = {recorded.sequence: recorded for recorded in history}
    return [on_the_log[LogSequence(each.sequence)] for each in parked]


def said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
