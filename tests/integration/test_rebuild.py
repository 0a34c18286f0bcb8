"""A projection is rebuilt from the log while writers and readers go on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.consumers import model_usage, open_work, run_board
from fairlead.consumers.parking import parked_of
from fairlead.consumers.rebuild import RebuildRunning, rebuild
from tests.integration.test_projections import ALICE, BOB, LONG_S, Fragile, _running, _stopped
from tests.support.database import DatabaseUrls, columns
from tests.support.histories import CODEC, Forgetful, Writer, a_run, five_steps, started
from tests.support.spending import answered, asked, attempt_failed

_SHAPE = """
SELECT c.relname, c.relowner::regrole::text AS owner, c.relacl::text AS grants, c.reloptions,
       c.relrowsecurity, c.relforcerowsecurity,
       (SELECT array_agg(row(a.attname, a.atttypid, a.attnotnull, a.attcollation, a.attgenerated, a.attacl,
                             pg_get_expr(d.adbin, d.adrelid))::text ORDER BY a.attnum)
          FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns,
       (SELECT array_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid::regclass::text)
          FROM pg_index i WHERE i.indrelid = c.oid) AS indexes,
       (SELECT array_agg(row(k.conname, replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''))::text
               ORDER BY k.conname)
          FROM pg_constraint k WHERE k.conrelid = c.oid) AS constraints,
       (SELECT array_agg(row(p.polname, p.polcmd, p.polroles, pg_get_expr(p.polqual, p.polrelid))::text
               ORDER BY p.polname)
          FROM pg_policy p WHERE p.polrelid = c.oid) AS policies
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%(tables)s)
 ORDER BY c.relname
"""
_OIDS = "SELECT oid::bigint AS oid FROM pg_class WHERE relname = ANY (%(tables)s) ORDER BY relname"
_TABLES = {"tables": [*run_board.TABLES, *open_work.TABLES]}
_RUNS = "SELECT count(*) AS runs FROM run_board"


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(CODEC)


@pytest.fixture
async def owner_database(database: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database.owner) as owner:
        yield owner


@pytest.fixture
async def positions(app_database: Database) -> AsyncIterator[Positions]:
    found = Positions(app_database)
    listening = asyncio.create_task(found.run())
    yield found
    await _stopped(listening)


async def test_new_tables_take_the_place_of_the_old_and_look_the_same_to_the_last_grant(
    log: MemoryLog, database: DatabaseUrls, engine_database: Database, owner_database: Database, positions: Positions
) -> None:
    last = await _write_runs(Writer(log), ALICE, 5)
    async with Database(database.admin) as admin:
        async with admin.platform() as tx:
            shape, oids = await tx.rows(_SHAPE, _TABLES, columns), await tx.rows(_OIDS, _TABLES, columns)
        async with _running(log, engine_database, run_board, open_work):
            assert await positions.reached(["run_board", "open_work"], last, LONG_S)
            for projection in (run_board, open_work):
                standing = await rebuild(log, owner_database, projection)
                assert (standing.build, standing.sequence) == (2, last)
        async with admin.platform() as tx:
            assert await tx.rows(_SHAPE, _TABLES, columns) == shape
            assert await tx.rows(_OIDS, _TABLES, columns) != oids


async def test_writers_and_readers_go_on_and_nobody_sees_a_half_built_table(
    log: MemoryLog, engine_database: Database, owner_database: Database, app_database: Database, positions: Positions
) -> None:
    writer = Writer(log)
    last = await _write_runs(writer, ALICE, 40)
    seen: list[int] = []
    async with _running(log, engine_database, run_board):
        assert await positions.reached(["run_board"], last, LONG_S)
        rebuilding = asyncio.create_task(rebuild(log, owner_database, run_board))
        number = 100
        while not rebuilding.done():
            number += 1
            last = await _write_runs(writer, ALICE, 1, start=number)
            async with app_database.read(ALICE) as tx:
                [row] = await tx.rows(_RUNS, None, columns)
            seen.append(row["runs"])
        standing = await rebuilding
        last = await _write_runs(writer, BOB, 1, start=number + 1)
        assert await positions.reached(["run_board"], last, LONG_S)
    assert standing.build == 2
    assert seen == sorted(seen), "a reader never saw fewer runs than before"
    assert seen[0] >= 40
    async with app_database.read(ALICE) as tx:
        assert await tx.rows(_RUNS, None, columns) == [{"runs": 40 + number - 100}]


async def test_what_was_spent_is_the_same_after_a_rebuild_and_so_are_the_meters_of_all_together(
    log: MemoryLog, engine_database: Database, owner_database: Database, positions: Positions
) -> None:
    writer = Writer(log)
    runs = [a_run(tenant, number) for number, tenant in enumerate((ALICE, BOB, ALICE), start=300)]
    for run in runs:
        await writer.append(run, started(run), asked(run, 1), asked(run, 2))
        await writer.append(run, attempt_failed(run, 1, 11), answered(run, 2, 13))
    last = await log.last_sequence()
    async with _running(log, engine_database, model_usage):
        assert await positions.reached(["model_usage"], last, LONG_S)
        before = await _spent(engine_database)
        await rebuild(log, owner_database, model_usage)
        assert await _spent(engine_database) == before
    costs = [meter["value"] for meter in before if meter.get("meter") == "cost"]
    assert costs == [3 * (11 + 13)]


async def _spent(database: Database) -> list[dict[str, Any]]:
    async with database.platform() as tx:
        found = await tx.rows("SELECT * FROM model_meters ORDER BY route, provider, meter", None, columns)
        found += await tx.rows("SELECT * FROM model_hours ORDER BY hour, route, provider", None, columns)
    for tenant in (ALICE, BOB):
        async with database.read(tenant) as tx:
            found += await tx.rows("SELECT * FROM usage_charges ORDER BY run_id, stream_version", None, columns)
            found += await tx.rows("SELECT * FROM usage_calls ORDER BY call_id", None, columns)
    return found


async def test_a_rebuild_after_the_fix_folds_what_had_been_parked(
    log: MemoryLog, engine_database: Database, owner_database: Database, positions: Positions
) -> None:
    last = await _write_runs(Writer(log), ALICE, 1)
    fragile = Fragile(poison=3)
    async with _running(log, engine_database, fragile):
        assert await positions.reached(["run_commits"], last, LONG_S)
        fragile.poison = None
        standing = await rebuild(log, owner_database, fragile)
    assert standing.parked == 0
    async with engine_database.read(ALICE) as tx:
        assert len(await tx.rows("SELECT sequence FROM run_commits", None, columns)) == 6
        assert await parked_of(tx, "run_commits", standing.build, 10) == []


async def test_a_commit_that_cannot_be_folded_is_parked_by_a_rebuild_too(
    log: MemoryLog, engine_database: Database, owner_database: Database, positions: Positions
) -> None:
    last = await _write_runs(Writer(log), ALICE, 1)
    fragile = Fragile()
    async with _running(log, engine_database, fragile):
        assert await positions.reached(["run_commits"], last, LONG_S)
        fragile.poison = last
        standing = await rebuild(log, owner_database, fragile)
    assert (standing.parked, standing.sequence) == (1, last)


async def test_a_rebuild_parks_what_cannot_be_read_and_the_next_one_folds_it_once_it_can_be(
    engine_database: Database, owner_database: Database, positions: Positions
) -> None:
    codec = Forgetful()
    log = MemoryLog(codec)
    last = await _write_runs(Writer(log), ALICE, 2)
    codec.forgotten = {b"run.completed.v1"}
    async with _running(log, engine_database, run_board):
        assert await positions.reached(["run_board"], last, LONG_S)
        assert (await rebuild(log, owner_database, run_board)).parked == 2
        codec.forgotten = set()
        assert (await rebuild(log, owner_database, run_board)).parked == 0


async def test_two_rebuilds_of_one_projection_do_not_run_at_once(log: MemoryLog, owner_database: Database) -> None:
    async with owner_database.session() as session:
        assert await session.try_lock("rebuild/run_board")
        with pytest.raises(RebuildRunning):
            await rebuild(log, owner_database, run_board)


async def _write_runs(writer: Writer, tenant: str, count: int, start: int = 1) -> int:
    runs = [a_run(tenant, number) for number in range(start, start + count)]
    return [await writer.write(run, *five_steps(run)) for run in runs][-1]
