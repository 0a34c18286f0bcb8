"""A log in memory that is folded into a real database, for what reads both."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.api.commit_pages import Read, Within
from fairlead.consumers import approvals, run_board, run_commits
from fairlead.consumers.projection import Projection
from fairlead.consumers.projection_runner import ProjectionRunner
from fairlead.ports import Log, SqlTx

READ_MODELS: tuple[Projection, ...] = (run_board, run_commits, approvals)
NAMES = tuple(projection.NAME for projection in READ_MODELS)
EVERYWHERE = Within(workspaces=None, environment=None)
LONG_S = 30.0


def reader(database: Database, tenant_id: str) -> Read:
    def read() -> AbstractAsyncContextManager[SqlTx]:
        return database.read(tenant_id)

    return read


async def folded(log: Log, engine: Database, app: Database) -> None:
    """Everything that is on the log now is in the read models when this returns."""
    async with folding(log, engine, app) as positions:
        assert await positions.reached(NAMES, await log.last_sequence(), LONG_S)


@asynccontextmanager
async def folding(
    log: Log, engine: Database, app: Database, projections: Sequence[Projection] = READ_MODELS
) -> AsyncIterator[Positions]:
    positions = Positions(app)
    async with running(positions.run(), ProjectionRunner(log, engine, projections).run()):
        yield positions


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
