"""Whether a connection works, before a statement is tried."""

from fairlead_sdk import Call, Effect, Idempotency, tool
from msgspec import Struct

from fairlead_sql.postgresql import connected

TIMEOUT_S = 5.0


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int  # 180006 for 18.6
    encrypted: bool


@tool(
    "sql.check_connection",
    title="Check a connection to PostgreSQL",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    timeout_s=2 * TIMEOUT_S,
)
async def check_connection(_arguments: Nothing, call: Call) -> Server:
    """Sign in to the database and say which version it is, and whether the connection is encrypted."""
    connection = await connected(call, TIMEOUT_S)
    try:
        return Server(version=connection.info.server_version, encrypted=connection.pgconn.ssl_in_use)
    finally:
        await connection.close()
