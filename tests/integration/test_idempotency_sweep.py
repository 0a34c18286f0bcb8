"""Idempotency keys are deleted once they have stopped counting, whether or not their tenant sends anything more."""

from datetime import timedelta

import psycopg
import pytest
from fairlead_tenants.ids import TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.consumers import idempotency_sweep
from fairlead.consumers.idempotency_sweep import IdempotencySweep
from fairlead.domain.envelope import Sequence, StreamRef
from tests.support.commits import NOTES, note
from tests.support.database import DatabaseUrls

ALICE, BOB = TenantId("tnt_alice"), TenantId("tnt_bob")
DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)

_ADD = """
INSERT INTO idempotency (tenant_id, principal_id, key_sha256, request_sha256, command_id, created_at, lease_until)
SELECT %(tenant)s, 'prn_1', sha256(%(age)s::text::bytea || n::text::bytea), sha256('r'), 'cmd_1', now() - %(age)s, now()
  FROM generate_series(1, %(count)s) AS n
"""
_LEFT = "SELECT tenant_id, count(*) FROM idempotency GROUP BY 1 ORDER BY 1"


async def add(database: Database, tenant: TenantId, age: timedelta, count: int = 1) -> None:
    """As the API wrote them that long ago."""
    async with database.tenant(tenant) as tx:
        await tx.run(_ADD, {"tenant": tenant, "age": age, "count": count})


def left(database: DatabaseUrls) -> list[tuple[str, int]]:
    with psycopg.connect(database.admin) as admin:
        return admin.execute(_LEFT).fetchall()


async def known(log: MemoryLog, *tenants: TenantId) -> None:
    for tenant in tenants:
        await log.append(note(StreamRef(tenant, "tenant", tenant)), Sequence(0))


async def test_rows_of_every_tenant_go_once_they_have_stopped_counting(
    database: DatabaseUrls, app_database: Database, engine_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency_sweep, "AT_ONCE", 2)
    log = MemoryLog(NOTES)
    sweep = IdempotencySweep(log, engine_database)
    for tenant in (ALICE, BOB):
        await add(app_database, tenant, DAY + MINUTE, count=5)
        await add(app_database, tenant, DAY - MINUTE)
    await known(log, ALICE)
    assert await sweep.sweep() == 5
    assert left(database) == [(ALICE, 1), (BOB, 6)]
    await known(log, BOB)
    assert await sweep.sweep() == 5
    assert left(database) == [(ALICE, 1), (BOB, 1)]
    assert await sweep.sweep() == 0


async def test_one_process_sweeps_at_a_time(database: DatabaseUrls, engine_database: Database) -> None:
    log = MemoryLog(NOTES)
    await known(log, ALICE)
    async with engine_database.session() as other:
        assert await other.try_lock(idempotency_sweep.LOCK)
        assert await IdempotencySweep(log, engine_database).sweep() == 0


def test_the_engine_sees_that_there_are_rows_of_its_tenant_and_nothing_in_them(database: DatabaseUrls) -> None:
    with psycopg.connect(database.engine) as connection:
        connection.execute("SELECT set_config('app.tenant_id', 'tnt_alice', false)")
        for column in ("body", "headers", "request_sha256", "command_id"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT {column} FROM idempotency")  # names from the line above
        for statement in ("UPDATE idempotency SET status = 200", "INSERT INTO idempotency DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement)
