"""Statements against real databases: PostgreSQL and SQLite do the same for the same document."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fairlead_sdk import Call, Connection, Credential, NeedsReconnect, OutcomeUnknown, Refused, TryLater
from fairlead_sdk.errors import ToolError
from psycopg.conninfo import conninfo_to_dict

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import WayOut
from fairlead_sql.checking import Nothing, check_connection
from fairlead_sql.dialects import EGRESS
from tests.support.carrying import carried_to
from tests.support.database import DatabaseUrls
from tests.support.sql_statements import AMOUNT, FIND, NUMBER, STAGE, tool_of

NAME = "db.example"
TABLE = "CREATE TABLE bills (key text PRIMARY KEY, number text NOT NULL, amount bigint NOT NULL CHECK (amount > 0))"
ROWS = "INSERT INTO bills VALUES ('a', '4711', 5), ('b', '4711', 7), ('c', '4711', 9), ('d', '12', 1)"


class AtHome:
    async def addresses(self, _host: str, /) -> Sequence[str]:
        return ["127.0.0.1"]


class World:
    """A database with bills in it, and a way to call tools on it."""

    def __init__(self, dialect: str, settings: dict[str, str], config: dict[str, str], credential: Credential) -> None:
        self.dialect = dialect
        self.settings = settings
        self.config = config
        self.credential = credential
        self.private = ["127.0.0.1/32"]

    def call(self, key: str = "tcl_1") -> Call:
        outbound = GuardedOutbound(private_networks=self.private, resolver=AtHome())
        way = WayOut(owner="con_1", egress=EGRESS["postgresql"], timeout_s=10.0, config=self.config)
        return Call(
            call_id=key,
            attempt=1,
            idempotency_key=key,
            settings=self.settings,
            connection=Connection(connection_id="con_1", config=self.config, credential=self.credential),
            addresses=outbound.addresses(way),
        )

    async def run(self, statement: dict[str, Any], key: str = "tcl_1", **arguments: Any) -> Any:
        return await tool_of(statement, self.dialect).run(arguments, self.call(key))


@pytest.fixture
def bills(database: DatabaseUrls) -> Iterator[DatabaseUrls]:
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute(TABLE)
        owner.execute(ROWS)
        owner.execute("GRANT SELECT, INSERT ON bills TO fairlead_app")
        yield database
        owner.execute("DROP TABLE bills")


@pytest.fixture
async def postgresql(bills: DatabaseUrls) -> AsyncIterator[World]:
    known = conninfo_to_dict(bills.app)
    socket = f"{known['host']}/.s.PGSQL.{known['port']}"  # it listens there and nowhere else
    async with carried_to(partial(asyncio.open_unix_connection, socket)) as port:
        server = f"{NAME}:{port}"
        credential = Credential(secret=str(known["password"]), username=str(known["user"]))
        config = {"server": server, "database": str(known["dbname"])}
        yield World("postgresql", {"plain_servers": f"other.example:1, {server}"}, config, credential)


@pytest.fixture
def sqlite(tmp_path: Path) -> World:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(TABLE)
        connection.execute(ROWS)
    connection.close()
    return World("sqlite", {"sqlite_folder": str(tmp_path)}, {"file": "ledger.db"}, Credential(secret=""))


@pytest.fixture(params=["postgresql", "sqlite"])
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


async def met(asking: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    return raised.value


async def test_rows_are_found_up_to_the_limit_and_more_is_said(world: World) -> None:
    assert await world.run(FIND, number="12") == {"rows": [{"number": "12", "amount": 1}], "more": False}
    assert await world.run(FIND, number="4711") == {
        "rows": [{"number": "4711", "amount": 5}, {"number": "4711", "amount": 7}],
        "more": True,
    }
    assert await world.run(FIND, number="' OR 1=1 --") == {"rows": [], "more": False}


async def test_a_write_with_its_key_happens_once(world: World) -> None:
    first = await world.run(STAGE, key="tcl_7", number="99", amount=3)
    again = await world.run(STAGE, key="tcl_7", number="99", amount=3)
    assert first["rows"] == [{"amount": 3}]
    assert again["rows"] == []
    assert len((await world.run(FIND, number="99"))["rows"]) == 1


async def test_what_is_declared_to_read_cannot_write(world: World) -> None:
    sly = FIND | {"sql": "INSERT INTO bills VALUES ('x', :number, 1) RETURNING number, amount"}
    error = await met(world.run(sly, number="66"))
    assert type(error) is Refused
    assert (await world.run(FIND, number="66"))["rows"] == []


async def test_a_constraint_refuses_and_nothing_is_quoted(world: World) -> None:
    error = await met(world.run(STAGE, number="super-secret-number", amount=-1))
    assert type(error) is Refused
    assert "super-secret" not in str(error)


async def test_a_statement_that_takes_too_long_is_ended(world: World) -> None:
    forever = {
        "sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS amount FROM n",
        "parameters": {},
        "columns": {"amount": AMOUNT},
        "timeout_s": 0.2,
    }
    assert type(await met(world.run(FIND | forever))) is TryLater


async def test_other_columns_than_declared_are_no_data(world: World) -> None:
    other = FIND | {"columns": {"number": NUMBER, "sum": AMOUNT}}
    assert (await met(world.run(other, number="12"))).code == "other_columns"
    staged = STAGE | {"columns": {"sum": AMOUNT}}
    assert type(await met(world.run(staged, number="1", amount=1))) is OutcomeUnknown


@pytest.mark.parametrize("depth", [1, 3_000])
async def test_json_in_a_column_is_no_scalar_however_deep_it_nests(postgresql: World, depth: int) -> None:
    nested = {
        "sql": f"SELECT (repeat('[', {depth}) || repeat(']', {depth}))::jsonb AS number",
        "parameters": {},
        "columns": {"number": NUMBER},
    }
    assert (await met(postgresql.run(FIND | nested))).code == "not_scalar"


async def test_a_large_table_is_not_read_to_its_end(postgresql: World) -> None:
    """Ten billion rows would take hours."""
    endless = FIND | {"sql": "SELECT :number AS number, generate_series(1, 10000000000) AS amount"}
    found = await postgresql.run(endless, number="1")
    assert (len(found["rows"]), found["more"]) == (2, True)


async def test_a_connection_is_checked_before_it_is_used(postgresql: World) -> None:
    server = await check_connection.run(Nothing(), postgresql.call())
    assert (server.version // 10_000, server.encrypted) == (18, False)


async def test_a_wrong_password_asks_for_another(postgresql: World) -> None:
    postgresql.credential = Credential(secret="wrong", username=postgresql.credential.username)
    error = await met(postgresql.run(FIND, number="12"))
    assert (type(error), error.code) == (NeedsReconnect, "unauthorized")
    assert "wrong" not in str(error)


async def test_a_server_without_tls_is_not_spoken_to_unless_the_installation_lists_it(postgresql: World) -> None:
    postgresql.settings = {}
    assert type(await met(postgresql.run(FIND, number="12"))) in (Refused, TryLater)


async def test_a_private_address_is_not_reached(postgresql: World) -> None:
    postgresql.private = []
    error = await met(postgresql.run(FIND, number="12"))
    assert (type(error), error.code) == (Refused, "egress_denied")


async def test_a_read_role_is_all_that_a_read_may_do(postgresql: World, bills: DatabaseUrls) -> None:
    with psycopg.connect(bills.admin, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS bills_reader")
        admin.execute("CREATE ROLE bills_reader")
        admin.execute("GRANT bills_reader TO fairlead_app")
        admin.execute("GRANT USAGE ON SCHEMA public TO bills_reader")
    postgresql.config |= {"read_role": "bills_reader"}
    try:
        assert (await met(postgresql.run(FIND, number="12"))).code == "sql_42501"
        with psycopg.connect(bills.owner, autocommit=True) as owner:
            owner.execute("GRANT SELECT ON bills TO bills_reader")
        assert (await postgresql.run(FIND, number="12"))["rows"] == [{"number": "12", "amount": 1}]
    finally:
        with psycopg.connect(bills.admin, autocommit=True) as admin:
            admin.execute("DROP OWNED BY bills_reader")
            admin.execute("DROP ROLE bills_reader")


@pytest.mark.parametrize("file", ["../ledger.db", "/etc/passwd", "ledger.db?mode=rwc", "none.db", "", "linked.db"])
async def test_no_other_file_is_opened(sqlite: World, tmp_path: Path, file: str) -> None:
    (tmp_path / "linked.db").symlink_to(tmp_path / "ledger.db")
    sqlite.config = {"file": file}
    assert type(await met(sqlite.run(FIND, number="12"))) is Refused


@pytest.mark.parametrize("sql", ["ATTACH DATABASE :number AS other", "PRAGMA writable_schema = ON"])
async def test_nothing_but_the_file_is_reached(sqlite: World, sql: str) -> None:
    parameters = {"number": NUMBER} if ":number" in sql else {}
    statement = STAGE | {"sql": sql, "parameters": parameters, "columns": {}, "idempotency": None}
    arguments = {"number": "/tmp/x.db"} if parameters else {}
    assert type(await met(sqlite.run(statement, **arguments))) is Refused
