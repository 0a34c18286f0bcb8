"""The orders database: one small pool per process and database, opened by the first call, and errors said in the SDK's
words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fairlead_sdk import Call, OutcomeUnknown, Refused, TryLater
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

T = TypeVar("T")
Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

SETTING = "orders_dsn"
MAX_CONNECTIONS = 8
WAIT_S = 2.0  # for a free connection
STATEMENT_TIMEOUT_MS = 4_000


class Database:
    """Transactions on the database that a call's settings name. Calls share connections and nothing else."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._opening = asyncio.Lock()

    async def read(self, call: Call, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Raises TryLater when the database does not answer."""
        return await self._transact(call, work, writing=False)

    async def read_back(self, call: Call, find: Callable[[Connection, str], Awaitable[T]]) -> T:
        """What `find` knows of the call's idempotency key."""

        async def work(connection: Connection) -> T:
            return await find(connection, call.idempotency_key)

        return await self._transact(call, work, writing=False)

    async def write(self, call: Call, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Raises TryLater when nothing was written, OutcomeUnknown when the answer to the commit was lost."""
        return await self._transact(call, work, writing=True)

    async def _transact(self, call: Call, work: Callable[[Connection], Awaitable[T]], *, writing: bool) -> T:
        committing = False
        try:
            async with (await self._pool(call)).connection() as connection:
                result = await work(connection)
                committing = writing
                await connection.commit()
                return result
        except (OperationalError, PoolTimeout):
            if committing:
                raise OutcomeUnknown("the orders database did not confirm", code="orders_database_lost") from None
            raise TryLater("the orders database does not answer", code="orders_database_unavailable") from None

    async def _pool(self, call: Call) -> Pool:
        if not (dsn := call.settings.get(SETTING)):
            raise Refused(f"the connector's setting {SETTING} is missing", code="not_configured")
        async with self._opening:
            if dsn not in self._pools:
                self._pools[dsn] = await _opened(dsn)
            return self._pools[dsn]

    async def close(self) -> None:
        async with self._opening:
            while self._pools:
                _, pool = self._pools.popitem()
                await pool.close()


async def _opened(dsn: str) -> Pool:
    pool: Pool = AsyncConnectionPool(
        dsn,
        connection_class=Connection,
        kwargs={"row_factory": dict_row, "application_name": "fairlead-invoices"},
        min_size=0,
        max_size=MAX_CONNECTIONS,
        timeout=WAIT_S,
        configure=_configure,
        check=AsyncConnectionPool.check_connection,
        open=False,
        name="fairlead-invoices",
    )
    await pool.open()
    return pool


async def _configure(connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "SELECT set_config('statement_timeout', %s, false), set_config('timezone', 'UTC', false)",
        [str(STATEMENT_TIMEOUT_MS)],
    )
    await connection.commit()
