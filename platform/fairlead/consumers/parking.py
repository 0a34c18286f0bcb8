"""Commits that a consumer could not deal with: kept with the reason, in the fence of their tenant, until replayed."""

import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import Kind, StreamRef
from fairlead.ports import Followed, SqlTx

MAX_MESSAGE = 2_000

_PARK = """
INSERT INTO parked_commits (tenant_id, name, build, sequence, shard, kind, stream_id, error_class, message)
VALUES (%(tenant)s, %(name)s, %(build)s, %(sequence)s, %(shard)s, %(kind)s, %(stream)s, %(error_class)s, %(message)s)
    ON CONFLICT DO NOTHING
"""
_FORGET_OLDER_BUILDS = "DELETE FROM parked_commits WHERE name = %(name)s AND build < %(build)s - 1"
_HELD = "SELECT DISTINCT kind, stream_id FROM parked_commits WHERE name = %(name)s AND build = %(build)s"
_PARKED = """
SELECT tenant_id, sequence, kind, stream_id, error_class, message
  FROM parked_commits
 WHERE name = %(name)s AND build = %(build)s AND sequence > %(after)s
 ORDER BY sequence
 LIMIT %(limit)s
"""
_PARKED_IN = """
SELECT tenant_id, sequence, kind, stream_id, error_class, message
  FROM parked_commits
 WHERE name = %(name)s AND build = %(build)s AND kind = %(kind)s AND stream_id = %(stream)s
 ORDER BY sequence
 LIMIT %(limit)s
"""
_STREAMS = """
SELECT kind, stream_id, count(*) AS commits
  FROM parked_commits
 WHERE name = %(name)s AND build = %(build)s
 GROUP BY kind, stream_id
 ORDER BY min(sequence)
"""
_UNPARK = """
DELETE FROM parked_commits WHERE name = %(name)s AND build = %(build)s AND sequence = %(sequence)s
"""

_log = structlog.get_logger()


class Held(Exception):
    """Why a commit waits that has no fault itself."""


class Parked(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    sequence: int
    kind: Kind
    stream_id: str
    error_class: str
    message: str

    @property
    def stream(self) -> StreamRef:
        return StreamRef(self.tenant_id, self.kind, self.stream_id)


class ParkedStream(Struct, frozen=True, kw_only=True):
    kind: Kind
    stream_id: str
    commits: int


class HeldStream(Struct, frozen=True, kw_only=True):
    kind: Kind
    stream_id: str


async def park(tx: SqlTx, shard: int, name: str, build: int, recorded: Followed, error: Exception) -> None:
    """`build` is 0 for a process manager. The build before this one may still be live, older ones are void."""
    stream = recorded.stream
    if not isinstance(error, Held):
        _log.error(
            "commit_parked",
            name=name,
            tenant_id=stream.tenant_id,
            stream_id=stream.id,
            sequence=recorded.sequence,
            error=type(error).__name__,
        )
    await tx.run(_FORGET_OLDER_BUILDS, {"name": name, "build": build})
    await tx.run(
        _PARK,
        {
            "tenant": stream.tenant_id,
            "name": name,
            "build": build,
            "sequence": recorded.sequence,
            "shard": shard,
            "kind": stream.kind,
            "stream": stream.id,
            "error_class": type(error).__name__,
            "message": str(error).replace("\x00", "\N{REPLACEMENT CHARACTER}")[:MAX_MESSAGE],
        },
    )


async def held_streams(tx: SqlTx, name: str, build: int) -> frozenset[tuple[Kind, str]]:
    """Streams of the fenced tenant with a parked commit: what follows in them must wait too."""
    found = await tx.rows(_HELD, {"name": name, "build": build}, HeldStream)
    return frozenset((stream.kind, stream.stream_id) for stream in found)


async def parked_of(tx: SqlTx, name: str, build: int, limit: int, after: int = 0) -> list[Parked]:
    """Of the fenced tenant, oldest first."""
    return await tx.rows(_PARKED, {"name": name, "build": build, "limit": limit, "after": after}, Parked)


async def parked_in(tx: SqlTx, name: str, build: int, stream: StreamRef, limit: int) -> list[Parked]:
    """Of one stream of the fenced tenant, oldest first."""
    where = {"name": name, "build": build, "kind": stream.kind, "stream": stream.id}
    return await tx.rows(_PARKED_IN, where | {"limit": limit}, Parked)


async def parked_streams(tx: SqlTx, name: str, build: int) -> list[ParkedStream]:
    """Of the fenced tenant, in the order in which each was first parked."""
    return await tx.rows(_STREAMS, {"name": name, "build": build}, ParkedStream)


async def unpark(tx: SqlTx, name: str, build: int, sequence: int) -> None:
    await tx.run(_UNPARK, {"name": name, "build": build, "sequence": sequence})
