"""Makes a projection's tables anew from the whole log while readers and writers go on.

The new tables fill in a schema of their own, whose names come first for that transaction, so the projection's code is
the same. Near the end the live position is held still, the last commits are folded, and the tables change places.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from msgspec import Struct, to_builtins

from fairlead.consumers.projection import Member, Projection, Standing, fold_in, members_of, told
from fairlead.consumers.projection_runner import MAX_CATCH_UP_BATCH, MAX_PAUSE_S, Plans, fold_or_park
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Rejected, Unavailable
from fairlead.ports import FoldTx, Followed, Log, SqlSession, SqlSessions

MAX_SWAPS = 20  # each gives up when readers do not let go of the tables within the bound below
SWAP_WITHIN = 2_000  # commits behind the live tables from which they are held still

_NEW_NAMES_FIRST = "SET LOCAL search_path = rebuild, public"
_BOUND_LOCK_WAIT = "SET LOCAL lock_timeout = '2s'"
_MAKE = "SELECT rebuild.make(unnest(%(tables)s::text[]))"
_PUT_IN_PLACE = "SELECT rebuild.put_in_place(unnest(%(tables)s::text[]))"
_BEGIN = """
INSERT INTO rebuild.projection_positions (shard, name, build)
SELECT shard, name, build + 1 FROM public.projection_positions WHERE shard = %(shard)s AND name = %(name)s
    ON CONFLICT (shard, name) DO UPDATE SET build = excluded.build, sequence = 0, parked = 0
RETURNING shard, name, build, sequence, parked
"""
_LIVE = "SELECT sequence FROM public.projection_positions WHERE shard = %(shard)s AND name = %(name)s"
_HOLD_LIVE = """
SELECT sequence FROM public.projection_positions WHERE shard = %(shard)s AND name = %(name)s FOR UPDATE
"""
_TAKE_OVER = """
UPDATE public.projection_positions
   SET build = %(build)s, sequence = %(sequence)s, parked = %(parked)s, folded_at = clock_timestamp()
 WHERE shard = %(shard)s AND name = %(name)s
"""
_END = "DELETE FROM rebuild.projection_positions WHERE shard = %(shard)s AND name = %(name)s"
_TELL = "SELECT pg_notify('fairlead_positions', %(payload)s)"

_log = structlog.get_logger()


class RebuildRunning(Rejected):
    """Somebody is already rebuilding this projection."""

    code = "rebuild_running"


class _At(Struct, frozen=True):
    sequence: int


class _Aside:
    """A session that finds the tables under construction before the live ones."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    async def try_lock(self, name: str) -> bool:
        return await self._session.try_lock(name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FoldTx]:
        async with self._session.transaction() as tx:
            await tx.run(_NEW_NAMES_FIRST)
            yield tx


async def rebuild(log: Log, owner: SqlSessions, projection: Projection, *, shard: int = 0) -> Standing:
    """Where the projection stands when its new tables are in place. `owner` is the role that owns the tables.

    Begins again from nothing when an engine goes away. Raises RebuildRunning.
    """
    while True:
        try:
            async with owner.session() as session:
                if not await session.try_lock(f"rebuild/{projection.NAME}"):
                    raise RebuildRunning(f"{projection.NAME} is being rebuilt already")
                return await _rebuild(log, session, projection, shard)
        except Unavailable as unavailable:
            _log.warning("rebuild_begins_again", projection=projection.NAME, reason=str(unavailable))
            await asyncio.sleep(MAX_PAUSE_S)


async def _rebuild(log: Log, session: SqlSession, projection: Projection, shard: int) -> Standing:
    await members_of(session, [projection], shard)
    member = Member(projection, await _begin(session, projection, shard), live=False)
    goal = 0
    for attempt in range(1, MAX_SWAPS + 1):
        async with log.follow(LogSequence(member.standing.sequence), max_batch=MAX_CATCH_UP_BATCH) as batches:
            commits = aiter(batches)
            await _fill(session, member, commits, goal)
            try:
                return await _swap(session, member, commits)
            except Exception as error:
                if attempt == MAX_SWAPS:
                    raise
                _log.info("rebuild_swaps_again", projection=projection.NAME, error=type(error).__name__)
        goal = await _live_sequence(session, member)  # a commit that cannot be folded is then parked by _fill
    raise AssertionError("the last attempt returns or raises")


async def _begin(session: SqlSession, projection: Projection, shard: int) -> Standing:
    async with session.transaction() as tx:
        await tx.run(_MAKE, {"tables": list(projection.TABLES)})
        standing = await tx.row(_BEGIN, {"shard": shard, "name": projection.NAME}, Standing)
    assert standing is not None, "the live position exists"
    return standing


async def _fill(session: SqlSession, member: Member, commits: AsyncIterator[list[Followed]], goal: int) -> None:
    """Returns when the new tables are past `goal` and nearly as far as the live ones."""
    aside = _Aside(session)
    plans = Plans(aside, [member])
    while member.standing.sequence < max(goal, await _live_sequence(session, member) - SWAP_WITHIN):
        if batch := await anext(commits):
            await fold_or_park(aside, [member], batch)
            await plans.used(len(batch))


async def _swap(session: SqlSession, member: Member, commits: AsyncIterator[list[Followed]]) -> Standing:
    """The live position is locked before the tables, as the runner does it, so the two never wait for each other."""
    ahead = Member(member.projection, member.standing, live=False)
    names = {"shard": member.standing.shard, "name": member.standing.name}
    async with session.transaction() as tx:
        await tx.run(_BOUND_LOCK_WAIT)
        live = await tx.row(_HOLD_LIVE, names, _At)
        assert live is not None, "the live position exists"
        await tx.run(_NEW_NAMES_FIRST)
        while ahead.standing.sequence < live.sequence:
            if batch := await anext(commits):
                [ahead.standing] = await fold_in(tx, [ahead], batch)
        await tx.run(_PUT_IN_PLACE, {"tables": list(member.projection.TABLES)})
        await tx.run(_TAKE_OVER, to_builtins(ahead.standing))
        await tx.run(_END, names)
        await tx.run(_TELL, {"payload": told(ahead.standing.shard, ahead.standing.sequence, [ahead.standing.name])})
    return ahead.standing


async def _live_sequence(session: SqlSession, member: Member) -> int:
    async with session.transaction() as tx:
        live = await tx.row(_LIVE, {"shard": member.standing.shard, "name": member.standing.name}, _At)
    assert live is not None, "the live position exists"
    return live.sequence
