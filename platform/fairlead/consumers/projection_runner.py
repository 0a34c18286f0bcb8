"""Keeps the read models of one shard up to date: follows the log once and hands each batch to every projection.

One process does it at a time and the next one takes over when its session with the database ends. A commit that cannot
be read or folded is parked with its error, together with what follows in its stream; everything else goes on.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from fairlead.consumers.projection import Member, Projection, Superseded, analyze, fold, members_of, park_one
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.ports import Followed, Log, SqlSession, SqlSessions

MAX_BATCH = 500
MAX_CATCH_UP_BATCH = 5_000
FIRST_ANALYZE = 300  # commits folded; then after ten times as many
LAST_ANALYZE = 300_000
GROW_BESIDE = ("idempotency",)  # tables of the API, with as many rows as runs were asked for
NEAR = 5_000  # commits: a projection further behind than this catches up by itself and holds nobody up
GATHER_FOLDS = 4  # commits gather for as long as so many folds take: those of one run become one change of its rows
MAX_GATHER_S = 0.2  # the most that this adds to the lag
LOCK_POLL_S = 0.5
MIN_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0

_log = structlog.get_logger()


class ProjectionRunner:
    def __init__(self, log: Log, sessions: SqlSessions, projections: Sequence[Projection], *, shard: int = 0) -> None:
        self._log = log
        self._sessions = sessions
        self._projections = projections
        self._shard = shard

    async def run(self) -> None:
        """Until cancelled. What cannot be reached is waited for."""
        pause_s = MIN_PAUSE_S
        while True:
            try:
                await self._take_over()
                pause_s = MIN_PAUSE_S
            except Superseded:
                _log.info("projections_superseded", shard=self._shard)
            except FairleadError as waiting:  # an engine is away
                _log.warning("projections_wait", shard=self._shard, code=waiting.code, reason=str(waiting))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _take_over(self) -> None:
        """Returns once projections that were far behind have come near, so that they are led together again."""
        async with self._sessions.session() as session:
            while not await session.try_lock(f"projections/{self._shard}"):  # noqa: ASYNC110  # held by another process
                await asyncio.sleep(LOCK_POLL_S)
            members = await members_of(session, self._projections, self._shard)
            front = max(member.standing.sequence for member in members)
            near = [member for member in members if member.standing.sequence >= front - NEAR]
            far = [member for member in members if member not in near]
            _log.info("projections_led", shard=self._shard, sequence=front, far_behind=len(far))
            await _until_one_returns([self._lead(session, near)] + ([self._catch_up(far)] if far else []))

    async def _lead(self, session: SqlSession, members: Sequence[Member]) -> None:
        after, loop = min(member.standing.sequence for member in members), asyncio.get_running_loop()
        async with self._log.follow(LogSequence(after), max_batch=MAX_BATCH, in_bursts=True) as batches:
            plans = Plans(session, members, GROW_BESIDE)
            async for batch in batches:
                if not batch:
                    continue
                began = loop.time()
                await fold_or_park(session, members, batch)
                took_s = loop.time() - began
                await plans.used(len(batch))
                if len(batch) < MAX_BATCH:
                    await asyncio.sleep(min(GATHER_FOLDS * took_s, MAX_GATHER_S))

    async def _catch_up(self, members: Sequence[Member]) -> None:
        after = min(member.standing.sequence for member in members)
        async with (
            self._sessions.session() as session,
            self._log.follow(LogSequence(after), max_batch=MAX_CATCH_UP_BATCH) as batches,
        ):
            async for batch in batches:
                if batch:
                    await fold_or_park(session, members, batch)
                if not batch or batch[-1].sequence >= await self._log.last_sequence() - NEAR:
                    return


class Plans:
    """Has statements planned anew at first, while the tables outgrow what was known of them; later the server does."""

    def __init__(self, session: SqlSession, members: Sequence[Member], others: Sequence[str] = ()) -> None:
        self._session = session
        self._members = members
        self._others = others
        self._folded = 0
        self._next = FIRST_ANALYZE

    async def used(self, commits: int) -> None:
        self._folded += commits
        if self._next <= min(self._folded, LAST_ANALYZE):
            await analyze(self._session, self._members, self._others)
            while self._next <= self._folded:
                self._next *= 10


async def fold_or_park(session: SqlSession, members: Sequence[Member], batch: Sequence[Followed]) -> None:
    """Fold the batch for all; where that fails, for each alone; where that fails, commit by commit."""
    try:
        await fold(session, members, batch)
    except (Unavailable, Superseded):
        raise
    except Exception as error:  # noqa: BLE001  # a projection may fail in any way, and must not stop the others
        if len(members) > 1:
            for member in members:
                await fold_or_park(session, [member], batch)
        elif len(batch) > 1:
            for recorded in batch:
                await fold_or_park(session, members, [recorded])
        else:
            await park_one(session, members[0], batch[0], error)


async def _until_one_returns(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
