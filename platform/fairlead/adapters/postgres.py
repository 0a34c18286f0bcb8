"""PostgreSQL: fenced transactions for requests, sessions for consumers. psycopg's exceptions become ours here."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from fairlead.domain.errors import Unavailable
from fairlead.ports import FoldTx, SqlTx

T = TypeVar("T")
Params = Mapping[str, Any]

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 15  # a request's statement; a consumer's may take longer
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# Consumers write by key, in statements that are planned once. Without hashing and merging an outer join of what is said
# with the rows that are there looks each up by its key, also in a plan that was made while the table was empty.
# They do not wait for the disk: rows that a crash of the server takes back take their position back too, and are folded
# again.
# The server, too, looks whether the other end still lives: a machine that vanished must not keep its locks for hours.
_FOLDING = (
    "-c synchronous_commit=off -c plan_cache_mode=force_generic_plan"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_material=off"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
)

_BEGIN = sql.SQL("BEGIN; SELECT set_config('app.tenant_id', {tenant}, true)")
_BEGIN_READ_ONLY = sql.SQL("BEGIN READ ONLY; SELECT set_config('app.tenant_id', {tenant}, true)")
_BEGIN_PLATFORM = sql.SQL("BEGIN")
_FENCE = "SELECT set_config('app.tenant_id', %(tenant)s, true)"
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 0))"


@contextmanager
def translated() -> Iterator[None]:
    """An engine that does not answer, is full or gives up is Unavailable. Anything else is a fault of ours."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable("the database") from error


class PostgresTx:
    """One transaction. Statements are prepared by the driver once they recur; rows come in binary."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def run(self, statement: LiteralString, params: Params | None = None) -> None:
        await self._connection.execute(statement, params)

    async def run_many(self, statement: LiteralString, params: Sequence[Params]) -> None:
        async with self._connection.cursor() as cursor:
            await cursor.executemany(statement, params)

    async def rows(self, statement: LiteralString, params: Params | None, into: Callable[..., T]) -> list[T]:
        async with self._connection.cursor(binary=True, row_factory=class_row(into)) as cursor:  # type: ignore[arg-type]
            await cursor.execute(statement, params)
            return await cursor.fetchall()

    async def row(self, statement: LiteralString, params: Params | None, into: Callable[..., T]) -> T | None:
        found = await self.rows(statement, params, into)
        return found[0] if found else None

    async def fence(self, tenant_id: str) -> None:
        await self._connection.execute(_FENCE, {"tenant": tenant_id})

    async def analyze(self, tables: Sequence[str]) -> None:
        await self._connection.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))


class Database:
    """A pool of connections under one role. Closed until entered."""

    def __init__(self, url: str, *, max_connections: int = 10) -> None:
        self.url = url
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            timeout=CONNECT_TIMEOUT_S,
            max_waiting=20 * max_connections,
            open=False,
            check=_alive,
            name="fairlead",
            kwargs={
                "autocommit": True,
                "prepare_threshold": 2,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c idle_in_transaction_session_timeout=30s",
                **KEEPALIVE,
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[SqlTx]:
        """One transaction that sees and writes the rows of one tenant."""
        async with self._transaction(_BEGIN.format(tenant=sql.Literal(tenant_id))) as tx:
            yield tx

    @asynccontextmanager
    async def read(self, tenant_id: str) -> AsyncIterator[SqlTx]:
        """Like `tenant`, and changes nothing."""
        async with self._transaction(_BEGIN_READ_ONLY.format(tenant=sql.Literal(tenant_id))) as tx:
            yield tx

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[SqlTx]:
        """One transaction without a tenant: for tables that have none. Any other table raises."""
        async with self._transaction(_BEGIN_PLATFORM) as tx:
            yield tx

    async def call(self, statement: LiteralString, params: Params, into: Callable[..., T]) -> list[T]:
        """One statement that is its own transaction. It fences itself, or meets no table of a tenant."""
        with translated():
            async with self._pool.connection() as connection:
                return await PostgresTx(connection).rows(statement, params, into)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        """A connection of one's own, outside the pool: for what must hold a lock as long as it lives."""
        with translated():
            connection = await AsyncConnection.connect(
                self.url, autocommit=True, prepare_threshold=2, options=_FOLDING, **KEEPALIVE
            )
        async with connection:
            yield Session(connection)

    @asynccontextmanager
    async def _transaction(self, begin: sql.SQL | sql.Composed) -> AsyncIterator[SqlTx]:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(begin, prepare=False)
                yield PostgresTx(connection)


class Session:
    """One connection. What it locked is free again when it ends, however it ends."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def try_lock(self, name: str) -> bool:
        with translated():
            cursor = await self._connection.execute(_TRY_LOCK, {"name": name})
            found = await cursor.fetchone()
        return bool(found and found[0])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FoldTx]:
        """No tenant is set until `fence` sets one. No statement waits for the one before; reading rows does."""
        with translated():
            try:
                async with self._connection.pipeline():
                    await self._connection.execute("BEGIN", prepare=False)
                    yield PostgresTx(self._connection)
                    await self._connection.execute("COMMIT", prepare=False)
            except BaseException:
                await self._connection.rollback()
                raise


async def _alive(connection: AsyncConnection[Any]) -> None:
    """Raises OperationalError when the server has closed the socket. Costs no round trip."""
    connection.pgconn.consume_input()
