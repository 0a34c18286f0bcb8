"""The projection runner against a real PostgreSQL, following a log in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.positions import Positions, lag
from fairlead.adapters.postgres import Database
from fairlead.consumers import projection_runner, run_board, run_commits
from fairlead.consumers import replay as replaying
from fairlead.consumers.parking import parked_of
from fairlead.consumers.projection import Projection, Superseded, analyze, fold, members_of
from fairlead.consumers.projection_runner import GROW_BESIDE, ProjectionRunner
from fairlead.consumers.replay import Replayed, replay
from fairlead.domain.envelope import Kind
from fairlead.domain.errors import Unavailable
from fairlead.domain.runs import events as e
from fairlead.ports import AnyRecorded, SqlTx
from tests.support.clock import T0, ManualClock
from tests.support.database import DatabaseUrls, columns
from tests.support.histories import CODEC, Forgetful, Writer, a_run, call_of, five_steps, started

ALICE, BOB = "tnt_alice", "tnt_bob"
LONG_S = 20.0
_BODIES = "SELECT run_id, sequence, body FROM run_commits ORDER BY sequence"
_KNOWN = "SELECT relname FROM pg_class WHERE relname = ANY (%(tables)s) AND reltuples < 0"
_STATUSES = "SELECT status FROM run_board"


class Fragile:
    """run_commits with a fault that can be switched on and off."""

    NAME = "run_commits"
    KINDS: tuple[Kind, ...] = ("run", "approval")
    TABLES: tuple[str, ...] = ("run_commits",)

    def __init__(self, poison: int | None = None) -> None:
        self.poison = poison

    async def project(self, batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
        await run_commits.project(batch, tx)
        if any(recorded.sequence == self.poison for recorded in batch):
            await tx.run("SELECT 1 / 0")


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(CODEC)


@pytest.fixture
async def positions(app_database: Database) -> AsyncIterator[Positions]:
    found = Positions(app_database)
    listening = asyncio.create_task(found.run())
    yield found
    await _stopped(listening)


async def test_rows_and_position_become_visible_together_and_each_tenant_sees_its_own(
    log: MemoryLog, engine_database: Database, app_database: Database, positions: Positions
) -> None:
    writer = Writer(log)
    for tenant in (ALICE, BOB):
        await writer.write(a_run(tenant, 1), *five_steps(a_run(tenant, 1)))
    last = await log.last_sequence()
    async with _running(log, engine_database, run_board, run_commits):
        assert await positions.reached(["run_board", "run_commits"], last, LONG_S)
    async with app_database.read(ALICE) as tx:
        bodies = await tx.rows(_BODIES, None, columns)
        assert await tx.rows(_STATUSES, None, columns) == [{"status": "completed"}]
    recorded = await log.read(a_run(ALICE, 1))
    assert [row["body"].encode() for row in bodies] == [each.body for each in recorded]


async def test_a_writer_reads_its_own_write(
    log: MemoryLog, engine_database: Database, app_database: Database, positions: Positions
) -> None:
    writer = Writer(log)
    async with _running(log, engine_database, run_board):
        for number in range(5):
            run = a_run(ALICE, number)
            assert await positions.reached(["run_board"], await writer.append(run, started(run)), LONG_S)
            async with app_database.read(ALICE) as tx:
                assert len(await tx.rows(_STATUSES, None, columns)) == number + 1


async def test_who_waits_for_what_does_not_come_is_told_so_in_time(positions: Positions) -> None:
    assert not await positions.reached(["run_board"], 10**9, timeout_s=0.05)


async def test_a_poison_commit_is_parked_with_what_follows_in_its_stream_and_the_others_go_on(
    log: MemoryLog, engine_database: Database, app_database: Database, positions: Positions
) -> None:
    writer, sick, well = Writer(log), a_run(ALICE, 1), a_run(BOB, 2)
    for commit in zip(five_steps(sick), five_steps(well), strict=True):
        await writer.append(sick, *commit[0])
        await writer.append(well, *commit[1])
    last = await log.last_sequence()
    fragile = Fragile(poison=3)
    async with _running(log, engine_database, fragile, run_board):
        assert await positions.reached(["run_commits", "run_board"], last, LONG_S)
    async with engine_database.read(ALICE) as tx:
        parked = await parked_of(tx, "run_commits", 1, 100)
        folded = await tx.rows(_BODIES, None, columns)
    assert [(each.sequence, each.error_class) for each in parked] == [
        (3, "DivisionByZero"),
        *[(sequence, "Held") for sequence in (5, 7, 9, 11)],
    ]
    assert [row["sequence"] for row in folded] == [1]
    async with app_database.read(BOB) as tx:
        assert len(await tx.rows(_BODIES, None, columns)) == 6
        assert await tx.rows(_STATUSES, None, columns) == [{"status": "completed"}]


async def test_parked_commits_are_folded_in_order_once_the_fault_is_mended(
    log: MemoryLog, engine_database: Database, positions: Positions
) -> None:
    writer, run = Writer(log), a_run(ALICE, 1)
    commits = list(five_steps(run))
    fragile = Fragile(poison=2)
    async with _running(log, engine_database, fragile):
        last = await writer.write(run, *commits[:4])
        assert await positions.reached(["run_commits"], last, LONG_S)
        fragile.poison = None
        assert await replay(log, engine_database, fragile, run.tenant_id) == Replayed(done=3)
        assert await replay(log, engine_database, fragile, run.tenant_id) == Replayed()
        last = await writer.write(run, *commits[4:])
        assert await positions.reached(["run_commits"], last, LONG_S)
    async with engine_database.read(ALICE) as tx:
        assert [row["sequence"] for row in await tx.rows(_BODIES, None, columns)] == [1, 2, 3, 4, 5, 6]
        assert await parked_of(tx, "run_commits", 1, 100) == []
    assert [position.parked for position in await positions.all()] == [0]


async def test_a_stream_that_still_cannot_be_folded_holds_up_no_other_when_they_are_replayed(
    engine_database: Database, positions: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "MAX_REPLAYED_AT_ONCE", 2)
    codec = Forgetful()
    log = MemoryLog(codec)
    writer, sick, well = Writer(log), a_run(ALICE, 1), a_run(ALICE, 2)
    for run in (sick, well):
        await writer.write(run, *five_steps(run))
    last = await writer.write(a_run(BOB, 3), *five_steps(a_run(BOB, 3)))
    codec.forgotten = {b"run.started.v1"}
    async with _running(log, engine_database, run_commits):
        assert await positions.reached(["run_commits"], last, LONG_S)
        codec.forgotten = {call_of(sick, 5).encode() + b'","attempt":1,"output"'}
        found = await replay(log, engine_database, run_commits, sick.tenant_id)
    assert (found.done, found.left) == (6, 6)
    assert (found.error or "").startswith("UnknownEvent: ")
    async with engine_database.read(ALICE) as tx:
        assert {each.stream_id for each in await parked_of(tx, "run_commits", 1, 100)} == {sick.id}
        assert {row["run_id"] for row in await tx.rows(_BODIES, None, columns)} == {well.id}
    async with engine_database.read(BOB) as tx:
        assert len(await parked_of(tx, "run_commits", 1, 100)) == 6
    assert [position.parked for position in await positions.all()] == [12]


async def test_commits_that_cannot_be_read_are_parked_with_what_follows_and_folded_in_order_once_they_can_be(
    engine_database: Database, app_database: Database, positions: Positions
) -> None:
    codec = Forgetful()
    log = MemoryLog(codec)
    writer, sick, well = Writer(log), a_run(ALICE, 1), a_run(ALICE, 2)
    for commit in zip(five_steps(sick), five_steps(well), strict=True):
        await writer.append(sick, *commit[0])
        await writer.append(well, *commit[1])
    await writer.write(a_run(BOB, 3), *five_steps(a_run(BOB, 3)))
    last = await log.last_sequence()
    codec.forgotten = {call_of(sick, 3).encode() + b'","attempt":1,"output"'}
    async with _running(log, engine_database, run_commits, run_board):
        assert await positions.reached(["run_commits", "run_board"], last, LONG_S)
        async with engine_database.read(ALICE) as tx:
            parked = await parked_of(tx, "run_board", 1, 100)
            assert len(await parked_of(tx, "run_commits", 1, 100)) == len(parked)
            statuses = await tx.rows("SELECT run_id, status FROM run_board ORDER BY run_id", None, columns)
        assert [(each.sequence, each.stream_id, each.error_class) for each in parked] == [
            (7, sick.id, "UnknownEvent"),
            (9, sick.id, "Held"),
            (11, sick.id, "Held"),
        ]
        assert [row["status"] for row in statuses] == ["running", "completed"]
        async with app_database.read(BOB) as tx:
            assert await tx.rows(_STATUSES, None, columns) == [{"status": "completed"}]
        codec.forgotten = set()
        for projection in (run_commits, run_board):
            assert await replay(log, engine_database, projection, sick.tenant_id) == Replayed(done=3)
    async with app_database.read(ALICE) as tx:
        assert await tx.rows(_STATUSES, None, columns) == [{"status": "completed"}] * 2
        assert len(await tx.rows(_BODIES, None, columns)) == 12


async def test_a_commit_of_a_kind_that_a_projection_does_not_read_is_no_business_of_it(
    engine_database: Database, positions: Positions
) -> None:
    codec = Forgetful()
    log = MemoryLog(codec)
    writer, run, workflow = Writer(log), a_run(ALICE, 1), a_run(ALICE, 2, "workflow")
    codec.forgotten = {b'"kind":"workflow"'}
    await writer.append(workflow, started(workflow))
    last = await writer.append(run, started(run))
    async with _running(log, engine_database, run_board):
        assert await positions.reached(["run_board"], last, LONG_S)
    assert [position.parked for position in await positions.all()] == [0]


async def test_a_stale_process_changes_nothing(log: MemoryLog, engine_database: Database) -> None:
    writer, run = Writer(log), a_run(ALICE, 1)
    await writer.append(run, started(run))
    [batch] = [await log.read(run)]
    async with engine_database.session() as one, engine_database.session() as other:
        leading = await members_of(one, [run_board], 0)
        stale = await members_of(other, [run_board], 0)
        await fold(one, leading, batch)
        with pytest.raises(Superseded):
            await fold(other, stale, batch)


async def test_folding_a_commit_again_changes_no_row(log: MemoryLog, engine_database: Database) -> None:
    writer, run = Writer(log), a_run(ALICE, 1)
    await writer.write(run, *five_steps(run))
    batch = await log.read(run)
    rows = "SELECT * FROM run_board NATURAL JOIN (SELECT run_id, count(*) AS calls FROM tool_calls GROUP BY 1) AS c"
    async with engine_database.tenant(ALICE) as tx:
        await run_board.project(batch, tx)
        once = await tx.rows(rows, None, columns)
        await run_board.project(batch, tx)
        await run_board.project(batch[2:4], tx)
        assert await tx.rows(rows, None, columns) == once


async def test_the_server_learns_how_tables_grow_also_those_beside_the_read_models(engine_database: Database) -> None:
    async with engine_database.session() as session:
        await analyze(session, await members_of(session, [run_commits], 0), GROW_BESIDE)
        async with session.transaction() as tx:
            assert await tx.rows(_KNOWN, {"tables": ["run_commits", *GROW_BESIDE]}, columns) == []


async def test_a_second_process_takes_over_when_the_first_dies(
    log: MemoryLog, engine_database: Database, positions: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection_runner, "LOCK_POLL_S", 0.01)
    writer, run = Writer(log), a_run(ALICE, 1)
    first = asyncio.create_task(ProjectionRunner(log, engine_database, [run_board]).run())
    assert await positions.reached(["run_board"], await writer.append(run, started(run)), LONG_S)
    async with _running(log, engine_database, run_board):
        await _stopped(first)
        last = await writer.append(run, e.RunPaused(reason="lunch"))
        assert await positions.reached(["run_board"], last, LONG_S)


async def test_a_cut_connection_is_made_again_and_nothing_is_lost(
    log: MemoryLog, database: DatabaseUrls, engine_database: Database, positions: Positions
) -> None:
    writer, run = Writer(log), a_run(ALICE, 1)
    async with _running(log, engine_database, run_board), Database(database.admin) as admin:
        assert await positions.reached(["run_board"], await writer.append(run, started(run)), LONG_S)
        async with admin.platform() as tx:
            await tx.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fairlead_engine'")
        last = await writer.append(run, e.RunPaused(reason="lunch"))
        assert await positions.reached(["run_board"], last, LONG_S)
    with pytest.raises(Unavailable):
        async with Database("postgresql://nobody@/none?host=/nowhere").platform() as tx:
            await tx.run("SELECT 1")


async def test_a_new_projection_catches_up_beside_the_others_and_joins_them(
    log: MemoryLog, engine_database: Database, positions: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection_runner, "NEAR", 10)
    monkeypatch.setattr(projection_runner, "MAX_CATCH_UP_BATCH", 7)
    writer = Writer(log)
    for number in range(20):
        await writer.write(a_run(ALICE, number), *five_steps(a_run(ALICE, number)))
    last = await log.last_sequence()
    async with _running(log, engine_database, run_board):
        assert await positions.reached(["run_board"], last, LONG_S)
    async with _running(log, engine_database, run_board, run_commits):
        last = await writer.append(a_run(BOB, 1), started(a_run(BOB, 1)))
        assert await positions.reached(["run_board", "run_commits"], last, LONG_S)


async def test_lag_is_counted_in_commits_and_seconds(
    log: MemoryLog, engine_database: Database, positions: Positions
) -> None:
    writer, run = Writer(log), a_run(ALICE, 1)
    async with engine_database.session() as session:
        await members_of(session, [run_board], 0)
    await writer.append(run, started(run))
    await writer.append(run, e.RunPaused(reason="lunch"))
    clock = ManualClock()
    [behind] = await lag(log, clock, positions)
    assert (behind.name, behind.commits, behind.seconds) == ("run_board", 2, 0.0)
    clock.forward(T0.replace(second=31) - T0)
    [behind] = await lag(log, clock, positions)
    assert behind.seconds == 30.0


@asynccontextmanager
async def _running(log: MemoryLog, database: Database, *projections: Projection) -> AsyncIterator[None]:
    runner = asyncio.create_task(ProjectionRunner(log, database, projections).run())
    try:
        yield
    finally:
        await _stopped(runner)


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
