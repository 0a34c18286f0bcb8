"""Is PostgreSQL one that may be trusted with tenants' data: version, durability, roles, row security, clock."""

from collections.abc import Iterator
from datetime import datetime

import psycopg
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from fairlead.adapters.doctor.finding import Finding, clock_finding, fail, now, ok, warn

OLDEST_VERSION = 15
BEST_VERSION = 18

_ANSWER_WITHIN_S = 5
_NAME = "PostgreSQL"
_SERVER = """
SELECT current_setting('server_version_num')::int / 10000 AS major,
       current_setting('server_version')                  AS version,
       current_setting('fsync')                           AS fsync,
       current_setting('full_page_writes')                AS full_page_writes,
       current_setting('synchronous_commit')              AS synchronous_commit,
       clock_timestamp()                                  AS clock
"""
_ROLE = """
SELECT rolname AS name, rolsuper AS superuser, rolbypassrls AS passes_row_security,
       ARRAY(SELECT oid::regclass::text FROM pg_class
              WHERE relowner = pg_roles.oid AND relkind IN ('r', 'p') ORDER BY 1 LIMIT 10) AS owned
  FROM pg_roles WHERE rolname = current_user
"""
_UNFENCED = """
SELECT c.oid::regclass::text AS name
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
   AND c.relnamespace = 'public'::regnamespace
 ORDER BY 1
"""
_FENCED = """
SELECT count(*) AS tables FROM pg_class
 WHERE relkind IN ('r', 'p') AND relrowsecurity AND relforcerowsecurity AND relnamespace = 'public'::regnamespace
"""


class _Server(Struct):
    major: int
    version: str
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    clock: datetime


class _Role(Struct):
    name: str
    superuser: bool
    passes_row_security: bool
    owned: list[str]


class _Table(Struct):
    name: str


class _Count(Struct):
    tables: int


async def examine_postgres(app_url: str, engine_url: str) -> list[Finding]:
    findings: list[Finding] = []
    for role, url, whole in (("requests", app_url, True), ("consumers", engine_url, False)):
        try:
            connection = await AsyncConnection.connect(url, connect_timeout=_ANSWER_WITHIN_S, autocommit=True)
        except psycopg.Error as error:
            findings.append(_unreachable(role, error))
            continue
        async with connection:
            findings.append(ok(f"{_NAME} for {role}", "answers"))
            findings += await _server_findings(connection) if whole else []
            findings += await _role_findings(connection)
    return findings


def _unreachable(role: str, error: psycopg.Error) -> Finding:
    mend = "start the server, or correct the address, the role or its password in FAIRLEAD_DATABASE_…URL"
    return fail(f"{_NAME} for {role}", str(error).strip().splitlines()[-1], mend)


async def _server_findings(connection: AsyncConnection) -> list[Finding]:
    asked_at = now()
    async with connection.cursor(row_factory=class_row(_Server)) as cursor:
        server = await (await cursor.execute(_SERVER)).fetchone()
    assert server, "one row, always"
    findings = [_version(server), clock_finding(_NAME, server.clock, asked_at, now()), *_durability(server)]
    return [*findings, await _fences(connection)]


def _version(server: _Server) -> Finding:
    name = f"version of {_NAME}"
    if server.major < OLDEST_VERSION:
        return fail(name, server.version, f"upgrade to {BEST_VERSION}; {OLDEST_VERSION} is the oldest that works")
    if server.major < BEST_VERSION:
        return warn(name, server.version, f"upgrade to {BEST_VERSION}, which this program is tested with")
    return ok(name, server.version)


def _durability(server: _Server) -> Iterator[Finding]:
    for setting, value in (("fsync", server.fsync), ("full_page_writes", server.full_page_writes)):
        name = f"{setting} of {_NAME}"
        if value == "on":
            yield ok(name, value)
        else:
            yield fail(
                name, value, f"ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf(): a crash can ruin the data"
            )
    name = f"synchronous_commit of {_NAME}"
    if server.synchronous_commit == "off":
        yield warn(name, "off", "ALTER SYSTEM SET synchronous_commit = on: a crash takes back what was answered")
    else:
        yield ok(name, server.synchronous_commit)


async def _role_findings(connection: AsyncConnection) -> list[Finding]:
    async with connection.cursor(row_factory=class_row(_Role)) as cursor:
        role = await (await cursor.execute(_ROLE)).fetchone()
    assert role, "everybody has a role"
    name = f"role {role.name}"
    if role.superuser or role.passes_row_security:
        mend = f"ALTER ROLE {role.name} NOSUPERUSER NOBYPASSRLS: row security does not hold it"
        return [fail(name, "passes row security", mend)]
    if role.owned:
        mend = f"REASSIGN OWNED BY {role.name} TO fairlead_owner: an owner can lift the fence"
        return [fail(name, f"owns {', '.join(role.owned)}", mend)]
    return [ok(name, "is held by row security and owns no table")]


async def _fences(connection: AsyncConnection) -> Finding:
    async with connection.cursor(row_factory=class_row(_Table)) as cursor:
        unfenced = await (await cursor.execute(_UNFENCED)).fetchall()
    async with connection.cursor(row_factory=class_row(_Count)) as counting:
        fenced = await (await counting.execute(_FENCED)).fetchone()
    assert fenced, "a count is one row"
    if unfenced:
        tables = ", ".join(table.name for table in unfenced)
        mend = "ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, with the policy tenant_fence"
        return fail("row security", f"is not forced on {tables}", mend)
    if not fenced.tables:
        return warn("row security", "there are no tables yet", "run fairlead migrate")
    return ok("row security", f"is forced on all {fenced.tables} tables with a tenant")
