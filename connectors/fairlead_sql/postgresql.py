"""PostgreSQL: one statement in one transaction of a connection of its own, read-only where it is declared to read."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import psycopg
from fairlead_sdk import Call, Effect, NeedsReconnect, OutcomeUnknown, Refused, TryLater
from fairlead_sdk.errors import ToolError
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fairlead_sql.recipes import Recipe, Result

CONNECT_TIMEOUT_S = 5
_SIGN_IN = ("28P01", "28000", "3D000")
_AGAIN = ("40", "53", "55", "57")  # conflicts of transactions, no room, locks, a server that stops or gave up


async def run(recipe: Recipe, values: dict[str, Any], call: Call) -> Result:
    """Raises ToolError. Whatever breaks before the commit has changed nothing."""
    connection = await connected(call, recipe.timeout_s)
    try:
        with _nothing_happened():
            await _begin(connection, recipe, call)
            result = await _executed(connection, recipe, values)
        await _commit(connection, recipe)
        return result
    finally:
        await connection.close()


async def connected(call: Call, timeout_s: float) -> psycopg.AsyncConnection[Any]:
    """To the address that was checked; the certificate is checked against the name."""
    connection = call.connection
    if connection is None or connection.credential is None:
        raise NeedsReconnect("the database has no password yet", "no_password")
    host, _, port = connection.config.get("server", "").rpartition(":")
    if not host or not port.isdigit():
        raise Refused("the connection's server is not host:port", "bad_config")
    address = await call.addresses.of(host, int(port))
    where = make_conninfo(
        host=host,
        hostaddr=address,
        port=port,
        dbname=connection.config.get("database", ""),
        user=connection.credential.username,
        password=connection.credential.secret,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="fairlead",
        options=f"-c statement_timeout={int(timeout_s * 1000)} -c idle_in_transaction_session_timeout=30s",
        client_encoding="UTF8",
        passfile="/dev/null",  # whatever is in the operator's home is not for tenants
        **_tls(call, f"{host}:{port}"),
    )
    with _nothing_happened():
        return await psycopg.AsyncConnection.connect(where)


def _tls(call: Call, server: str) -> dict[str, str]:
    plain = [each.strip() for each in call.settings.get("plain_servers", "").split(",")]
    if server in plain:
        return {"sslmode": "disable"}
    return {"sslmode": "verify-full", "sslrootcert": call.settings.get("ca_file", "system")}


async def _begin(connection: psycopg.AsyncConnection[Any], recipe: Recipe, call: Call) -> None:
    reads = recipe.effect is Effect.READ
    await connection.set_read_only(reads)
    role = call.connection.config.get("read_role") if reads and call.connection else None
    if role:
        await connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))


async def _executed(connection: psycopg.AsyncConnection[Any], recipe: Recipe, values: dict[str, Any]) -> Result:
    """Rows are taken one by one, so that a million of them are never here at once."""
    text = recipe.scanned.written(lambda name: f"%({name})s", lambda piece: piece.replace("%", "%%"))
    async with connection.cursor() as cursor:
        if recipe.effect is not Effect.READ:
            await cursor.execute(text.encode(), values, prepare=True)
            rows = await cursor.fetchmany(recipe.max_rows) if cursor.description else []
            return Result(_columns(cursor), rows, cursor.rowcount)
        found: list[tuple[Any, ...]] = []
        stream = cursor.stream(text.encode(), values)
        async with aclosing(stream) as rows_as_they_come:  # type: ignore[type-var]  # it is a generator
            async for row in rows_as_they_come:
                found.append(row)
                if len(found) > recipe.max_rows:
                    break  # leaving cancels the statement
        return Result(_columns(cursor), found, -1)


def _columns(cursor: psycopg.AsyncCursor[Any]) -> tuple[str, ...]:
    return tuple(column.name for column in cursor.description or ())


async def _commit(connection: psycopg.AsyncConnection[Any], recipe: Recipe) -> None:
    if recipe.effect is Effect.READ:
        return  # closing it is enough
    try:
        await connection.commit()
    except psycopg.IntegrityError as fault:  # a constraint that is looked at last
        raise Refused("a constraint of the database refuses it", f"sql_{fault.sqlstate}") from None
    except psycopg.Error:
        raise OutcomeUnknown("the database did not say whether it committed") from None


@contextmanager
def _nothing_happened() -> Iterator[None]:
    """The database's own words may hold values of other rows, so only its code is told."""
    try:
        yield
    except psycopg.Error as fault:
        raise _error(fault) from None
    except RecursionError:  # the driver reads JSON before anybody can say that a column may not have it
        raise Refused("a column gave JSON that nests too deep, which is no scalar", "not_scalar") from None


def _error(fault: psycopg.Error) -> ToolError:
    state = fault.sqlstate or ""
    said = f"the database says {state}" if state else "the database does not answer"
    if state in _SIGN_IN or "password authentication failed" in str(fault):
        return NeedsReconnect("the database refuses the account", "unauthorized")
    if not state and "certificate" in str(fault):
        return Refused("the database's certificate cannot be trusted", "no_tls")
    if not state or state.startswith("08") or state.startswith(_AGAIN):
        return TryLater(said, f"sql_{state}" if state else "unreachable")
    return Refused(said, f"sql_{state}")
