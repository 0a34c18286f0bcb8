"""The log is damaged as disks do it, and the database taken back: each is found, and mended or named."""

import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fairlead_ledger.heads import Head
from msgspec import Struct
from msgspec.structs import replace

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.content_keys import MemoryContentKeys
from fairlead.adapters.engines import Embedded
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_removal import NatsRemoval
from fairlead.adapters.nats_repair import LogRepair
from fairlead.adapters.nats_streams import ensure_events, ensure_streams, events_stream
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger_check import Fault, check
from fairlead.consumers.removing import Removing
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.expiries import ExpiringRun
from fairlead.domain.ids import RunId
from fairlead.domain.runs import events as e
from fairlead.handling.contents import Contents
from fairlead.handling.handler import Handler
from fairlead.ledger_operating import Restored, catch_up, restore
from tests.support.clock import T0
from tests.support.database import DatabaseUrls
from tests.support.histories import CODEC, Writer, a_run, completed, five_steps, started

CONTENTS = Contents(MemoryContentKeys())
RUNS = [("alice", 1), ("bob", 2), ("alice", 3)]
_FORGED_HEAD = """
INSERT INTO ledger_heads
SELECT tenant_id, 5, now(), decode(repeat('00', 32), 'hex'), 'k', decode(repeat('00', 64), 'hex') FROM ledger_trees
"""
_FORGOTTEN = "UPDATE ledger_commits SET body = NULL, leaf_text = '{}', expired_by = 18 WHERE leaf = 3"
_shards = itertools.count(300)


class Site(Struct, frozen=True):
    """A shard with three runs, 18 commits, all of them in the ledger."""

    shard: int
    log: NatsLog
    repair: LogRepair
    writer: Writer
    before: dict[StreamRef, list[bytes]]
    files: Path

    async def histories(self) -> dict[StreamRef, list[bytes]]:
        return {run: [recorded.body for recorded in await self.log.read(run)] for run in self.before}

    def blocks(self) -> list[Path]:
        return sorted((self.files / "msgs").glob("*.blk"))


class Yard:
    """Shards on one server, which is stopped while they are damaged."""

    def __init__(self, engines: Embedded, connection: NatsConnection, owner: Database) -> None:
        self.engines = engines
        self.connection = connection
        self.owner = owner

    async def site(self) -> Site:
        shard = next(_shards)
        await ensure_events(self.connection, shard)
        log = NatsLog(self.connection, CODEC, shard, contents=CONTENTS)
        writer = Writer(log)
        runs = [a_run(f"tnt_{name}_{shard}", 100 * shard + number) for name, number in RUNS]
        for run in runs:
            await writer.write(run, *five_steps(run))
        async with self.owner.session() as session:
            await catch_up(log, session, shard)
        before = {run: [recorded.body for recorded in await log.read(run)] for run in runs}
        (files,) = self.engines.directory.rglob(f"streams/{events_stream(shard)}")
        return Site(shard, log, LogRepair(self.connection, shard, 1), writer, before, files)

    async def damaged(self, *damages: Callable[[], None]) -> None:
        await self.engines.kill_nats()
        for damage in damages:
            damage()
        await self.engines.start_nats()
        await self.connection.connected(20)

    async def faults(self, site: Site, *receipts: Head) -> list[Fault]:
        async with self.owner.session() as session:
            return [fault async for fault in check(site.log, session, site.shard, receipts)]

    async def restored(self, site: Site, folder: Path) -> Restored:
        async with self.owner.session() as session:
            await catch_up(site.log, session, site.shard)
            return await restore(site.log, site.repair, session, folder, site.shard)


@pytest.fixture
async def yard(engines: Embedded, database: DatabaseUrls) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as parts:
        connection = await NatsConnection.open(engines.urls.nats, patience_s=30)
        parts.push_async_callback(connection.close)
        owner = await parts.enter_async_context(Database(database.owner))
        yield Yard(engines, connection, owner)


def flipped(file: Path, part: float) -> None:
    """One bit of the byte that lies there."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * part)] ^= 0x10
    file.write_bytes(content)


def without_index(site: Site) -> None:
    """What the server kept of the state beside the blocks: it reads the blocks."""
    for index in (site.files / "msgs").glob("index.db"):
        index.unlink()


def cut(file: Path, part: float) -> None:
    with file.open("r+b") as opened:
        opened.truncate(int(file.stat().st_size * part))


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


async def test_what_disks_do_to_the_log_is_found_and_mended_from_the_ledger(yard: Yard, tmp_path: Path) -> None:
    sound, bit, bit_unindexed, tail, lost = [await yard.site() for _ in range(5)]
    await yard.damaged(
        lambda: flipped(bit.blocks()[0], 0.5),
        lambda: flipped(bit_unindexed.blocks()[0], 0.4),
        lambda: without_index(bit_unindexed),
        lambda: cut(tail.blocks()[-1], 0.7),
        lambda: without_index(tail),
        lambda: gone(lost.files),
    )
    await ensure_events(yard.connection, lost.shard)
    assert await yard.faults(sound) == []
    for site in (bit, bit_unindexed, tail, lost):
        faults = await yard.faults(site)
        assert {fault.kind for fault in faults} <= {"log_missing", "log_changed", "position_beyond"}
        assert {"log_missing", "log_changed"} & {fault.kind for fault in faults}, site
        assert {fault.shard for fault in faults} == {site.shard}
        done = await yard.restored(site, tmp_path)
        assert (done.put_back > 0, done.lost, done.conflicting, done.moved) == (True, 0, 0, 0)
        assert done.shard == site.shard
        assert await yard.faults(site) == []
        assert await site.histories() == site.before
        assert (await yard.restored(site, tmp_path)).put_back == 0
    assert len(await yard.faults(sound)) == 0
    run = next(iter(tail.before))
    await tail.writer.append(run, started(run))
    assert [each.sequence for each in await tail.log.read(run)][-1] == Sequence(19)
    with pytest.raises(Exception, match="purge"):
        await yard.connection.api(f"STREAM.PURGE.{events_stream(bit.shard)}")


async def test_what_has_expired_is_gone_from_the_disk_and_restoring_brings_nothing_of_it_back(
    yard: Yard, tmp_path: Path
) -> None:
    await ensure_streams(yard.connection)
    site = await yard.site()
    run, planted = next(iter(site.before)), f"planted{site.shard}"
    small = replace(completed(run, 5), worker=f"{planted}-small")  # what is not sealed
    large = replace(completed(run, 5), worker=f"{planted}-large" * 10_000)
    await site.writer.write(run, (small,), (large,))
    sequences = tuple(recorded.sequence for recorded in await site.log.read(run))
    async with yard.owner.session() as session:
        await catch_up(site.log, session, site.shard)
    assert found_on_disk(yard, planted) == {f"{planted}-small", f"{planted}-large"}
    fact = await site.writer.append(run, expired(run, sequences))
    async with yard.owner.session() as session:
        await catch_up(site.log, session, site.shard)
        removing = Removing(site.log, NatsRemoval(yard.connection, site.shard), handler(site.log), SystemClock())
        await removing.remove_run(session, run.tenant_id, expiring(run, sequences), fact)
        await removing.remove_run(session, run.tenant_id, expiring(run, sequences), fact)
    assert found_on_disk(yard, planted) == set()
    assert await yard.faults(site) == []
    await yard.damaged(lambda: gone(site.files))
    await ensure_events(yard.connection, site.shard)
    assert {fault.kind for fault in await yard.faults(site)} == {"log_missing", "position_beyond"}
    done = await yard.restored(site, tmp_path)
    assert (done.put_back, done.lost, done.conflicting, done.moved) == (13, 0, 0, 0)
    assert await yard.faults(site) == []
    assert [each.sequence for each in await site.log.read(run)] == [fact]
    others = {stream: bodies for stream, bodies in site.before.items() if stream != run}
    assert {stream: bodies for stream, bodies in (await site.histories()).items() if stream != run} == others


def found_on_disk(yard: Yard, planted: str) -> set[str]:
    """In the files of the log's engine."""
    texts = [f"{planted}-small", f"{planted}-large"]
    blocks = [file.read_bytes() for file in yard.engines.directory.rglob("msgs/*.blk")]
    return {text for text in texts if any(text.encode() in block for block in blocks)}


def expiring(run: StreamRef, sequences: tuple[int, ...]) -> ExpiringRun:
    return ExpiringRun(
        run_id=RunId(run.id),
        workspace_id=started(run).workspace_id,
        environment_id=started(run).environment_id,
        workflow_id=started(run).workflow_id,
        ended_at=T0,
        events=24,
        last_sequence=sequences[-1],
        last_leaf="00" * 32,
        sequences=sequences,
    )


def expired(run: StreamRef, sequences: tuple[int, ...]) -> e.RunContentExpired:
    return e.RunContentExpired(
        expiry_id="exp_1",
        run_id=RunId(run.id),
        workspace_id=started(run).workspace_id,
        environment_id=started(run).environment_id,
        workflow_id=started(run).workflow_id,
        ended_at=T0,
        commits=len(sequences),
        events=24,
        last_sequence=sequences[-1],
        last_leaf="00" * 32,
    )


def handler(log: NatsLog) -> Handler:
    return Handler(log, SystemClock(), {})


async def test_commits_under_numbers_that_others_had_are_moved_to_the_end_or_set_aside(
    yard: Yard, tmp_path: Path
) -> None:
    site = await yard.site()
    await yard.damaged(lambda: gone(site.files))
    await ensure_events(yard.connection, site.shard)
    fresh, again = a_run(f"tnt_bob_{site.shard}", 100 * site.shard + 9), next(iter(site.before))
    unaware = Writer(site.log)
    unaware._numbers = itertools.count(900)
    await unaware.append(fresh, started(fresh))
    await unaware.append(again, started(again))
    done = await yard.restored(site, tmp_path)
    assert (done.put_back, done.moved, done.conflicting, done.lost) == (18, 1, 1, 0)
    assert done.file is not None
    assert len(done.file.read_bytes().splitlines()) == 2
    assert await site.histories() == site.before
    assert [each.sequence for each in await site.log.read(fresh)] == [19]
    assert {fault.kind for fault in await yard.faults(site)} == {"ledger_behind"}


async def test_a_database_that_was_taken_back_catches_up_to_the_same_tree_and_an_older_head_tells(
    yard: Yard, database: DatabaseUrls
) -> None:
    site = await yard.site()
    roots = await _peaks(database)
    await _taken_back(database, site.shard)
    receipt = Head(f"tnt_alice_{site.shard}", 12, "00" * 32, "", "")
    assert {fault.kind for fault in await yard.faults(site)} == {"ledger_behind"}
    assert ("head_differs", 0) in [(fault.kind, fault.sequence) for fault in await yard.faults(site, receipt)]
    async with yard.owner.session() as session:
        await catch_up(site.log, session, site.shard)
    assert await yard.faults(site) == []
    assert await _peaks(database) == roots
    assert "head_differs" in {fault.kind for fault in await yard.faults(site, receipt)}


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE ledger_commits SET body = body || ' '::bytea WHERE leaf = 3", "log_changed"),
        ("UPDATE ledger_commits SET body = decode('00', 'hex') WHERE leaf = 3", "ledger_changed"),
        ("UPDATE ledger_commits SET hashes = overlay(hashes placing '\\x00' from 40) WHERE leaf = 3", "ledger_changed"),
        ("DELETE FROM ledger_commits WHERE leaf = 3", "ledger_missing"),
        (_FORGOTTEN, "expired_unsaid"),
        (_FORGOTTEN, "expired_remains"),
        (_FORGED_HEAD, "head_differs"),
    ],
)
async def test_what_somebody_with_the_whole_database_in_hand_does_to_the_ledger_is_found(
    yard: Yard, database: DatabaseUrls, statement: Any, kind: str
) -> None:
    site = await yard.site()
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("ALTER TABLE ledger_commits DISABLE TRIGGER USER")
        admin.execute(statement)
    assert kind in {fault.kind for fault in await yard.faults(site)}


async def _peaks(database: DatabaseUrls) -> list[Any]:
    with psycopg.connect(database.admin) as admin:
        return admin.execute("SELECT tenant_id, size, peaks FROM ledger_trees ORDER BY 1").fetchall()


async def _taken_back(database: DatabaseUrls, shard: int) -> None:
    """To before the first commit was kept."""
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("ALTER TABLE ledger_commits DISABLE TRIGGER ledger_keeps_all")
        admin.execute("TRUNCATE ledger_commits, ledger_trees, ledger_state")
        admin.execute("DELETE FROM projection_positions WHERE shard = %s", [shard])
