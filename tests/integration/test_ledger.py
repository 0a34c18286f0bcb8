"""The ledger on a real PostgreSQL: every commit once, in the tree of its tenant, and nothing ever changed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from fairlead_ledger.heads import Head, is_genuine
from fairlead_ledger.keys import Trust
from fairlead_ledger.leaves import leaf_of
from fairlead_ledger.merkle import Frontier, check_consistency, check_inclusion

from fairlead.adapters.ledger_keys import LedgerKeys, add_key
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger import Keeper, LogDiverged, place_of
from fairlead.consumers.ledger_heads import HeadSigner
from fairlead.consumers.ledger_runner import LedgerRunner
from fairlead.consumers.projection import Superseded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.handling import ledgers
from fairlead.ports import Copy
from tests.support.clock import T0, ManualClock
from tests.support.database import DatabaseUrls, columns
from tests.support.histories import CODEC, Forgetful, Writer, a_run, five_steps, started

ALICE, BOB = "tnt_alice", "tnt_bob"
LONG_S = 20.0
_KEPT = "SELECT leaf, sequence, body, hashes FROM ledger_commits ORDER BY leaf"
_FENCE = "SELECT set_config('app.tenant_id', %(tenant)s, false)"


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(CODEC)


@pytest.fixture
async def positions(app_database: Database) -> AsyncIterator[Positions]:
    found = Positions(app_database)
    listening = asyncio.create_task(found.run())
    yield found
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


@asynccontextmanager
async def kept(log: MemoryLog, *databases: Database) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(LedgerRunner(log, each, look_every_s=0.05).run()) for each in databases]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def copies_of(log: MemoryLog, after: int = 0) -> list[Copy]:
    async with log.copies(LogSequence(after)) as batches:
        return await anext(aiter(batches))


async def halted(database: Database) -> str | None:
    async with database.platform() as tx:
        (row,) = await tx.rows("SELECT halted FROM ledger_state", None, columns)
    found: str | None = row["halted"]
    return found


async def test_every_commit_is_kept_with_a_tree_that_each_tenant_can_prove_from(
    log: MemoryLog, engine_database: Database, app_database: Database, positions: Positions
) -> None:
    writer = Writer(log)
    for tenant in (ALICE, BOB, ALICE):
        number = 1 if tenant == BOB else 1 + await log.last_sequence()
        await writer.write(a_run(tenant, number), *five_steps(a_run(tenant, number)))
    async with kept(log, engine_database):
        assert await positions.reached(["ledger"], await log.last_sequence(), LONG_S)
    of_alice = [copy for copy in await copies_of(log) if copy.stream.tenant_id == ALICE]
    frontier = Frontier()
    hashes = [frontier.append(leaf_of(place_of(copy, 0), copy.body).hash) for copy in of_alice]
    async with app_database.read(ALICE) as tx:
        rows = await tx.rows(_KEPT, None, columns)
        assert [(row["leaf"], row["sequence"], row["body"], row["hashes"]) for row in rows] == [
            (leaf, copy.sequence, copy.body, hashes[leaf]) for leaf, copy in enumerate(of_alice)
        ]
        root = await ledgers.root_of(tx, len(of_alice))
        assert root == frontier.root()
        older = await ledgers.root_of(tx, 5)
        for leaf in (0, 6, 11):
            check_inclusion(leaf, 12, hashes[leaf][:32], await ledgers.inclusion(tx, leaf, 12), root)
        check_consistency(5, 12, older, root, await ledgers.consistency(tx, 5, 12))
        assert await ledgers.size_at(tx, of_alice[6].sequence) == 7
        with pytest.raises(ledgers.NoSuchLeaf):
            await ledgers.root_of(tx, 13)
    async with app_database.read(BOB) as tx:
        assert await ledgers.size_of(tx) == 6


async def test_what_cannot_be_read_is_kept_too(engine_database: Database, positions: Positions) -> None:
    codec = Forgetful()
    log = MemoryLog(codec)
    run = a_run(ALICE, 1)
    await Writer(log).write(run, *five_steps(run))
    codec.forgotten.add(b"run.started.v1")
    async with kept(log, engine_database):
        assert await positions.reached(["ledger"], 6, LONG_S)


async def test_two_processes_keep_each_commit_once_and_the_second_takes_over(
    log: MemoryLog, engine_database: Database, app_database: Database, positions: Positions
) -> None:
    writer, run = Writer(log), a_run(ALICE, 1)
    async with kept(log, engine_database, engine_database) as tasks:
        await writer.write(run, *list(five_steps(run))[:3])
        assert await positions.reached(["ledger"], 3, LONG_S)
        tasks[0].cancel()
        await writer.write(run, *list(five_steps(run))[3:])
        assert await positions.reached(["ledger"], 6, LONG_S)
        tasks[1].cancel()
    async with app_database.read(ALICE) as tx:
        assert [row["leaf"] for row in await tx.rows(_KEPT, None, columns)] == list(range(6))


async def test_a_process_that_was_overtaken_changes_nothing(
    log: MemoryLog, engine_database: Database, app_database: Database
) -> None:
    run = a_run(ALICE, 1)
    await Writer(log).write(run, *five_steps(run))
    batch = await copies_of(log)
    async with engine_database.session() as here, engine_database.session() as there:
        stale, fresh = await Keeper.begin(here, 0), await Keeper.begin(there, 0)
        await fresh.keep(there, batch[:4])
        with pytest.raises(Superseded):
            await stale.keep(here, batch)
    async with app_database.read(ALICE) as tx:
        assert await ledgers.size_of(tx) == 4


async def test_a_log_that_ends_before_the_ledger_or_is_another_is_not_followed(
    log: MemoryLog, engine_database: Database, positions: Positions
) -> None:
    run, writer = a_run(ALICE, 1), Writer(log)
    await writer.write(run, *five_steps(run))
    async with kept(log, engine_database):
        assert await positions.reached(["ledger"], 6, LONG_S)
    shorter, other = MemoryLog(CODEC), MemoryLog(CODEC)
    await Writer(shorter).write(run, *list(five_steps(run))[:4])
    await Writer(other).write(a_run(BOB, 2), *five_steps(a_run(BOB, 2)), (started(run),))
    for wrong, why in ((shorter, "does not reach"), (other, "another commit")):
        async with kept(wrong, engine_database), asyncio.timeout(LONG_S):
            while why not in (await halted(engine_database) or ""):  # noqa: ASYNC110  # what is waited for is a row
                await asyncio.sleep(0.02)
    await writer.write(a_run(BOB, 1), *five_steps(a_run(BOB, 1)))
    async with kept(log, engine_database):
        assert await positions.reached(["ledger"], 12, LONG_S)
    assert await halted(engine_database) is None


async def test_a_commit_that_has_expired_since_a_backup_of_the_database_is_no_sign_of_another_log(
    log: MemoryLog, engine_database: Database
) -> None:
    run = a_run(ALICE, 1)
    await Writer(log).write(run, *list(five_steps(run)))
    async with engine_database.session() as session:
        await (await Keeper.begin(session, 0)).keep(session, (await copies_of(log))[:4])
        back = await Keeper.begin(session, 0)
        await log.remove(LogSequence(4))
        await back.check_log(log)
        assert await back.keep(session, await copies_of(log, 4)) == 0
        await log.remove(LogSequence(6))
        with pytest.raises(LogDiverged):
            await back.check_log(log)


async def test_commits_that_the_log_has_lost_are_counted(log: MemoryLog, engine_database: Database) -> None:
    run = a_run(ALICE, 1)
    await Writer(log).write(run, *five_steps(run))
    batch = await copies_of(log)
    async with engine_database.session() as session:
        keeper = await Keeper.begin(session, 0)
        assert await keeper.keep(session, batch[:2]) == 0
        assert await keeper.keep(session, batch[4:]) == 2
    async with engine_database.platform() as tx:
        assert await tx.rows("SELECT missing FROM ledger_state", None, columns) == [{"missing": 2}]


@pytest.mark.parametrize("table", ["ledger_commits", "ledger_heads"])
@pytest.mark.parametrize("role", ["app", "engine", "owner", "admin"])
async def test_nobody_changes_or_deletes_what_is_in_the_ledger(
    role: str, table: str, log: MemoryLog, engine_database: Database, database: DatabaseUrls, a_key: LedgerKeys
) -> None:
    await _kept_and_signed(log, engine_database, a_key)
    statements = (f"UPDATE {table} SET tenant_id = tenant_id", f"DELETE FROM {table}", f"TRUNCATE {table}")
    with psycopg.connect(getattr(database, role), autocommit=True) as connection:
        connection.execute(_FENCE, {"tenant": ALICE})
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.fixture
def a_key(tmp_path: Path) -> LedgerKeys:
    file = tmp_path / "keys"
    add_key(file, T0)
    return LedgerKeys(file)


class Shelf:
    """An anchor that may be out of reach."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.is_away = False

    async def lay(self, heads: Sequence[Head]) -> None:
        if self.is_away:
            raise Unavailable("the shelf")
        self.heads += heads


async def test_heads_of_grown_ledgers_are_signed_and_laid_down_also_after_the_anchor_was_away(
    log: MemoryLog, engine_database: Database, app_database: Database, a_key: LedgerKeys
) -> None:
    shelf = Shelf()
    signer = HeadSigner(engine_database, a_key, [shelf], ManualClock(), every_s=60)
    run = a_run(ALICE, 1)
    writer = Writer(log)
    await writer.write(run, *list(five_steps(run))[:3])
    async with engine_database.session() as session:
        keeper = await Keeper.begin(session, 0)
        await keeper.keep(session, await copies_of(log))
        shelf.is_away = True
        assert (await signer.round(session), await signer.round(session)) == (1, 0)
        await writer.write(run, *list(five_steps(run))[3:])
        await keeper.keep(session, await copies_of(log, 3))
        shelf.is_away = False
        assert await signer.round(session) == 1
    async with app_database.read(ALICE) as tx:
        heads = await ledgers.heads(tx, 100, datetime.max.replace(tzinfo=T0.tzinfo), 10)
        root = await ledgers.root_of(tx, 6)
    assert [head.size for head in heads] == [6, 3]
    assert shelf.heads == heads[:1]
    assert heads[0].root == root.hex()
    assert all(is_genuine(head, Trust([a_key.signer().public_key])) for head in heads)


async def _kept_and_signed(log: MemoryLog, database: Database, keys: LedgerKeys) -> None:
    run = a_run(ALICE, 1)
    await Writer(log).write(run, *five_steps(run))
    async with database.session() as session:
        await (await Keeper.begin(session, 0)).keep(session, await copies_of(log))
        await HeadSigner(database, keys, [], ManualClock(), every_s=60).round(session)
