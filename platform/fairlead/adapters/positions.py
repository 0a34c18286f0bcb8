"""How far the projections are: what a reader waits for to see its own write, and how much they are behind."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import psycopg
import structlog
from msgspec import Struct

from fairlead.adapters.postgres import KEEPALIVE, Database
from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.handling.log_guard import KeptUpTo
from fairlead.ports import Clock, Log

MAX_WAIT_S = 2.0
RECONNECT_S = 1.0

_POSITIONS = """
SELECT name, sequence, parked FROM projection_positions WHERE shard = %(shard)s ORDER BY name
"""
_LEDGER = "SELECT missing, halted FROM ledger_state WHERE shard = %(shard)s"

_KEPT = """
SELECT p.sequence, s.halted
  FROM projection_positions AS p
  LEFT JOIN ledger_state AS s ON s.shard = p.shard
 WHERE p.shard = %(shard)s AND p.name = 'ledger'
"""

_log = structlog.get_logger()


class Position(Struct, frozen=True, kw_only=True):
    name: str
    sequence: int
    parked: int


class Lag(Struct, frozen=True, kw_only=True):
    """`commits` behind the log, counting those of kinds it does not read; `seconds` since the oldest of them."""

    name: str
    commits: int
    seconds: float
    parked: int


class Positions:
    """One listening connection for a process, however many readers wait. Runs while `run` does."""

    def __init__(self, database: Database, *, shard: int = 0) -> None:
        self._database = database
        self._shard = shard
        self._sequences: defaultdict[str, int] = defaultdict(int)
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    async def run(self) -> None:
        """Until cancelled. While the database is away nothing moves, and readers wait out their bounded time."""
        while True:
            try:
                await self._listen()
            except (Unavailable, psycopg.OperationalError) as error:
                _log.warning("positions_wait", reason=str(error).strip())
                await asyncio.sleep(RECONNECT_S)

    async def reached(self, names: Sequence[str], sequence: int, timeout_s: float = MAX_WAIT_S) -> bool:
        """Whether all the named projections have folded `sequence` within the time."""
        missing = [name for name in names if self._sequences[name] < sequence]
        if not missing:
            return True
        loop = asyncio.get_running_loop()
        waiting = [(name, sequence, loop.create_future()) for name in missing]
        self._waiting += waiting
        try:
            await asyncio.wait_for(asyncio.gather(*(future for *_, future in waiting)), timeout_s)
        except TimeoutError:
            return False
        finally:
            self._waiting = [entry for entry in self._waiting if entry not in waiting]
        return True

    async def all(self) -> list[Position]:
        async with self._database.platform() as tx:
            return await tx.rows(_POSITIONS, {"shard": self._shard}, Position)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._database.url, autocommit=True, **KEEPALIVE)
        async with connection:
            await connection.execute("LISTEN fairlead_positions")
            for position in await self.all():
                self._moved([position.name], position.sequence)
            async for told in connection.notifies():
                shard, sequence, names = told.payload.split(" ")
                if int(shard) == self._shard:
                    self._moved(names.split(","), int(sequence))

    def _moved(self, names: Sequence[str], sequence: int) -> None:
        for name in names:
            self._sequences[name] = max(sequence, self._sequences[name])
        for name, wanted, future in self._waiting:
            if wanted <= self._sequences[name] and not future.done():
                future.set_result(None)


class LedgerState(Struct, frozen=True, kw_only=True):
    missing: int
    halted: str | None


async def ledger_state(database: Database, shard: int = 0) -> LedgerState:
    async with database.platform() as tx:
        found = await tx.row(_LEDGER, {"shard": shard}, LedgerState)
    return found or LedgerState(missing=0, halted=None)


async def kept_up_to(database: Database, shard: int = 0) -> KeptUpTo | None:
    found = await database.call(_KEPT, {"shard": shard}, KeptUpTo)
    return found[0] if found else None


async def lag(log: Log, clock: Clock, positions: Positions) -> list[Lag]:
    """Of every projection, for metrics, alerts and admission control."""
    last = await log.last_sequence()
    found = await positions.all()
    ages = {position.sequence: 0.0 for position in found}
    for sequence in ages:
        if sequence < last:
            ages[sequence] = await _age_of_next(log, clock, LogSequence(sequence))
    return [
        Lag(name=p.name, commits=max(0, last - p.sequence), seconds=ages[p.sequence], parked=p.parked) for p in found
    ]


async def _age_of_next(log: Log, clock: Clock, after: LogSequence) -> float:
    async with log.follow(after, max_batch=1) as batches:
        batch = await anext(aiter(batches))
    if not batch or isinstance(batch[0], Unreadable):  # whose time is among what cannot be read
        return 0.0
    return max(0.0, (clock.now() - batch[0].commit.at).total_seconds())
