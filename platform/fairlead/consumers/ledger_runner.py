"""Keeps the ledger of one shard: one process at a time, the next takes over when its session with the database ends.

It goes on only while the log still holds what was kept of it. A log that was cut off or replaced would otherwise give
old numbers to new commits, and the copy would end where the loss began.
"""

import asyncio

import structlog

from fairlead.consumers.ledger import Keeper, LogDiverged
from fairlead.consumers.projection import Superseded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError
from fairlead.ports import CopyBatches, LogCopies, SqlSession, SqlSessions

MAX_BATCH = 1_000
GATHER_S = 0.2  # a little lag makes few transactions of many commits, and each waits for the disk
LOOK_EVERY_S = 5.0  # at a log that gives nothing new
LOCK_POLL_S = 0.5
MIN_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0

_log = structlog.get_logger()


class LedgerRunner:
    def __init__(
        self, log: LogCopies, sessions: SqlSessions, *, shard: int = 0, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._log = log
        self._sessions = sessions
        self._shard = shard
        self._look_every_s = look_every_s

    async def run(self) -> None:
        """Until cancelled. What cannot be reached is waited for."""
        pause_s = MIN_PAUSE_S
        while True:
            try:
                await self._take_over()
            except Superseded:
                _log.info("ledger_superseded", shard=self._shard)
            except FairleadError as waiting:  # an engine is away, or the log is not what it was
                _log.warning("ledger_waits", shard=self._shard, code=waiting.code, reason=str(waiting))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _take_over(self) -> None:
        async with self._sessions.session() as session:
            while not await session.try_lock(f"ledger/{self._shard}"):  # noqa: ASYNC110  # held by another process
                await asyncio.sleep(LOCK_POLL_S)
            keeper = await Keeper.begin(session, self._shard)
            _log.info("ledger_kept", shard=self._shard, sequence=keeper.standing.sequence)
            try:
                await keeper.check_log(self._log)
                await keeper.resume(session)
                async with self._log.copies(LogSequence(keeper.standing.sequence), max_batch=MAX_BATCH) as batches:
                    await self._keep(session, keeper, batches)
            except LogDiverged as diverged:
                _log.error("ledger_halted", shard=self._shard, reason=str(diverged))
                await keeper.halt(session, str(diverged))
                raise

    async def _keep(self, session: SqlSession, keeper: Keeper, batches: CopyBatches) -> None:
        coming = aiter(batches)
        while True:
            try:
                batch = await asyncio.wait_for(anext(coming), self._look_every_s)
            except TimeoutError:
                batch = []
            await keeper.check_log(self._log)
            if not batch:
                continue
            if missing := await keeper.keep(session, batch):
                _log.error("ledger_log_lost_commits", shard=self._shard, missing=missing, before=batch[-1].sequence)
            if len(batch) < MAX_BATCH:
                await asyncio.sleep(GATHER_S)
