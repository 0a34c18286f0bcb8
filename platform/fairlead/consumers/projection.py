"""What a projection is, and how a batch of commits becomes its rows: position and rows in one transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from fairlead.consumers.parking import Held, held_streams, park
from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, FoldTx, Followed, SqlSession, SqlTx

_ENSURE = """
INSERT INTO projection_positions (shard, name)
SELECT %(shard)s, unnest(%(names)s::text[])
    ON CONFLICT DO NOTHING
"""
_STANDINGS = """
SELECT shard, name, build, sequence, parked
  FROM projection_positions
 WHERE shard = %(shard)s AND name = ANY (%(names)s)
"""
# Whoever waits to read what they wrote is woken when the transaction commits.
_ADVANCE = """
WITH moved AS (
    UPDATE projection_positions AS p
       SET sequence = greatest(p.sequence, %(to)s), folded_at = clock_timestamp()
      FROM unnest(%(names)s::text[], %(builds)s::integer[], %(sequences)s::bigint[], %(parked)s::integer[])
           AS known (name, build, sequence, parked)
     WHERE p.shard = %(shard)s AND p.name = known.name
       AND (p.build, p.sequence, p.parked) = (known.build, known.sequence, known.parked)
    RETURNING p.name
)
SELECT name, CASE WHEN %(told)s THEN pg_notify('fairlead_positions', %(payload)s) END AS told FROM moved
"""
_COUNT_PARKED = """
UPDATE projection_positions SET parked = parked + %(more)s WHERE shard = %(shard)s AND name = %(name)s
"""


class Projection(Protocol):
    """A module. `NAME` is its checkpoint and never changes, or history is folded again. `TABLES` are its alone."""

    NAME: str
    KINDS: tuple[Kind, ...]
    TABLES: tuple[str, ...]

    async def project(self, batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
        """Fold commits of one tenant, oldest first; `tx` is fenced to it and commits together with the position.

        Statements may be pipelined, so a projection writes and does not read. Each row names the last version folded
        into it and each write is conditional on it. Any exception but Unavailable parks what cannot be folded.
        """


class Standing(Struct, frozen=True, kw_only=True):
    """How far a projection is. `parked` of its commits wait for a person."""

    shard: int
    name: str
    build: int
    sequence: int
    parked: int


class Member:
    """A projection and where it stands, as this process knows it. Nobody waits for tables under construction."""

    def __init__(self, projection: Projection, standing: Standing, *, live: bool = True) -> None:
        self.projection = projection
        self.standing = standing
        self.live = live


class Superseded(Exception):
    """A position was moved by somebody else: another process, a rebuild put in place, or a replay of parked work."""


async def members_of(session: SqlSession, projections: Sequence[Projection], shard: int) -> list[Member]:
    """Reads where each projection stands; one that is new stands before everything."""
    by_name = {projection.NAME: projection for projection in projections}
    params = {"shard": shard, "names": list(by_name)}
    async with session.transaction() as tx:
        await tx.run(_ENSURE, params)
        standings = await tx.rows(_STANDINGS, params, Standing)
    return [Member(by_name[standing.name], standing) for standing in standings]


async def fold(session: SqlSession, members: Sequence[Member], batch: Sequence[Followed]) -> None:
    """Raises Superseded, Unavailable, or what a projection raises; in each case nothing has changed."""
    async with session.transaction() as tx:
        moved = await fold_in(tx, members, batch)
    for member, standing in zip(members, moved, strict=True):
        member.standing = standing


async def fold_in(tx: FoldTx, members: Sequence[Member], batch: Sequence[Followed]) -> list[Standing]:
    """Where the members stand once `tx` is committed. The positions are locked first: a stale process stops there."""
    to = batch[-1].sequence
    await advance(tx, members, to)
    parked = [0] * len(members)
    for tenant_id, commits in by_tenant(batch):
        await tx.fence(tenant_id)
        by_kind = _by_kind(commits)
        for index, member in enumerate(members):
            match [kind for kind in member.projection.KINDS if kind in by_kind]:
                case []:
                    continue
                case [kind]:
                    mine = by_kind[kind]
                case kinds:
                    mine = [each for each in commits if each.stream.kind in kinds]
            parked[index] += await _fold_tenant(tx, member, mine)
    return [
        replace(member.standing, sequence=max(to, member.standing.sequence), parked=member.standing.parked + more)
        for member, more in zip(members, parked, strict=True)
    ]


async def analyze(session: SqlSession, members: Sequence[Member], others: Sequence[str] = ()) -> None:
    """Plans made while the tables were nearly empty may go by a wrong index for as long as they are kept. `others` are
    tables that grow beside those of the members."""
    async with session.transaction() as tx:
        await tx.analyze([*(table for member in members for table in member.projection.TABLES), *others])


async def park_one(session: SqlSession, member: Member, recorded: Followed, error: Exception) -> None:
    """Step over a commit that cannot be folded and keep it for later."""
    async with session.transaction() as tx:
        await advance(tx, [member], recorded.sequence)
        await tx.fence(recorded.stream.tenant_id)
        await _park(tx, member.standing, recorded, error)
    standing = member.standing
    member.standing = replace(standing, sequence=recorded.sequence, parked=standing.parked + 1)


async def advance(tx: SqlTx, members: Sequence[Member], to: int) -> None:
    """Raises Superseded unless every member stands where this process believes."""
    standings = [member.standing for member in members]
    shard = standings[0].shard
    moved: list[dict[str, Any]] = await tx.rows(
        _ADVANCE,
        {
            "to": to,
            "shard": shard,
            "names": [standing.name for standing in standings],
            "builds": [standing.build for standing in standings],
            "sequences": [standing.sequence for standing in standings],
            "parked": [standing.parked for standing in standings],
            "told": all(member.live for member in members),
            "payload": told(shard, to, [standing.name for standing in standings if standing.sequence < to]),
        },
        dict,
    )
    if len(moved) != len(members):
        raise Superseded


def told(shard: int, sequence: int, names: Sequence[str]) -> str:
    """What listeners on `fairlead_positions` are told: these projections have folded `sequence`."""
    return f"{shard} {sequence} {','.join(names)}"


def by_tenant(batch: Iterable[Followed]) -> Iterable[tuple[str, list[Followed]]]:
    """A stream belongs to one tenant, so its order is kept."""
    found: dict[str, list[Followed]] = {}
    for each in batch:
        found.setdefault(each.stream.tenant_id, []).append(each)
    return found.items()


def _by_kind(commits: Iterable[Followed]) -> dict[Kind, list[Followed]]:
    found: dict[Kind, list[Followed]] = {}
    for each in commits:
        found.setdefault(each.stream.kind, []).append(each)
    return found


async def _fold_tenant(tx: SqlTx, member: Member, commits: Sequence[Followed]) -> int:
    """How many commits were parked: what cannot be read, and what follows in a stream of which one is parked."""
    projection, standing = member.projection, member.standing
    mine = [each for each in commits if each.sequence > standing.sequence]
    held = await held_streams(tx, standing.name, standing.build) if standing.parked and mine else frozenset()
    ready, waiting = _sorted_out(mine, held)
    for each, reason in waiting:
        await _park(tx, standing, each, reason)
    if ready:
        await projection.project(ready, tx)
    return len(waiting)


def _sorted_out(
    commits: Sequence[Followed], held: frozenset[tuple[Kind, str]]
) -> tuple[list[AnyRecorded], list[tuple[Followed, Exception]]]:
    """What can be folded, and what must wait with the reason why."""
    ready = [each for each in commits if not isinstance(each, Unreadable)]
    if not held and len(ready) == len(commits):
        return ready, []
    stopped, ready = set(held), []
    waiting: list[tuple[Followed, Exception]] = []
    for each in commits:
        stream = (each.stream.kind, each.stream.id)
        if stream in stopped:
            waiting.append((each, Held("an earlier commit of this stream is parked")))
        elif isinstance(each, Unreadable):
            stopped.add(stream)
            waiting.append((each, each.reason))
        else:
            ready.append(each)
    return ready, waiting


async def _park(tx: SqlTx, standing: Standing, recorded: Followed, error: Exception) -> None:
    await park(tx, standing.shard, standing.name, standing.build, recorded, error)
    await tx.run(_COUNT_PARKED, {"shard": standing.shard, "name": standing.name, "more": 1})
