"""A log that was taken back is written to by nobody until it is restored."""

import asyncio
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from fairlead import operating
from fairlead.adapters.content_keys import MemoryContentKeys
from fairlead.adapters.engines import Embedded
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_repair import LogRepair
from fairlead.adapters.nats_streams import ensure_events, events_stream
from fairlead.adapters.positions import kept_up_to
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger import Keeper
from fairlead.consumers.ledger_runner import LedgerRunner
from fairlead.domain.envelope import Sequence
from fairlead.domain.errors import Unavailable
from fairlead.handling.contents import Contents
from fairlead.handling.log_guard import KeptUpTo, LogGuard, LogTakenBack
from fairlead.ledger_operating import catch_up, restore
from fairlead.settings import Settings
from tests.support.api import running
from tests.support.database import DatabaseUrls
from tests.support.histories import CODEC, Writer, a_run, five_steps, started

CONTENTS = Contents(MemoryContentKeys())
LONG_S = 20.0
_shards = itertools.count(400)


class Yard:
    """A shard of the log, and processes that write to it."""

    def __init__(self, engines: Embedded, database: DatabaseUrls, parts: AsyncExitStack) -> None:
        self.engines = engines
        self.database = database
        self.shard = next(_shards)
        self._parts = parts

    async def connection(self) -> NatsConnection:
        connection = await NatsConnection.open(self.engines.urls.nats, patience_s=30)
        self._parts.push_async_callback(connection.close)
        return connection

    async def process(self) -> tuple[NatsLog, LogGuard]:
        connection = await self.connection()
        await ensure_events(connection, self.shard)
        asked = await self._parts.enter_async_context(Database(self.database.app, max_connections=1))
        ends_at = NatsLog(connection, CODEC, self.shard, contents=CONTENTS).last_sequence
        guard = LogGuard(partial(kept_up_to, asked, self.shard), ends_at, lambda: connection.breaks, look_every_s=0.05)
        return NatsLog(connection, CODEC, self.shard, guard=guard, contents=CONTENTS), guard

    @property
    def files(self) -> Path:
        (found,) = self.engines.directory.rglob(f"streams/{events_stream(self.shard)}")
        return found

    async def stopped_while(self, do: Callable[[], object]) -> None:
        await self.engines.kill_nats()
        await asyncio.to_thread(do)
        await self.engines.start_nats()


@pytest.fixture
async def yard(engines: Embedded, database: DatabaseUrls) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as parts:
        yield Yard(engines, database, parts)


def copied(source: Path, target: Path) -> None:
    """With the owner of each file, who is the server's."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", source, target], check=True)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LONG_S):
        while not await holds():  # noqa: ASYNC110  # what is waited for is in another process
            await asyncio.sleep(0.02)


async def test_nothing_is_appended_to_a_log_that_was_taken_back_until_it_is_restored(
    yard: Yard, tmp_path: Path
) -> None:
    log, guard = await yard.process()
    writer = Writer(log)
    early, late = (
        a_run(f"tnt_alice_{yard.shard}", 100 * yard.shard),
        a_run(f"tnt_bob_{yard.shard}", 100 * yard.shard + 1),
    )
    await writer.write(early, *five_steps(early))
    copy = tmp_path / "copy"
    files = yard.files
    await yard.stopped_while(lambda: copied(files, copy))
    await writer.write(late, *five_steps(late))
    async with Database(yard.database.owner) as owner, owner.session() as session:
        await catch_up(log, session, yard.shard)
        await yard.stopped_while(lambda: copied(copy, files))
        fresh, _ = await yard.process()
        for writing, numbers in ((log, 700), (fresh, 800)):
            unaware = Writer(writing)
            unaware._numbers = itertools.count(numbers)
            with pytest.raises(LogTakenBack):
                await unaware.append(a_run(late.tenant_id, 100 * yard.shard + 2), started(late))
        assert await log.last_sequence() == 6
        repair = LogRepair(await yard.connection(), yard.shard, 1)
        assert (await restore(log, repair, session, tmp_path, yard.shard)).put_back == 6
    await guard.look()
    await writer.append(late, started(late))
    assert [each.sequence for each in await log.read(late)] == [7, 8, 9, 10, 11, 12, 13]


async def test_processes_are_told_within_seconds_that_the_ledger_has_halted_and_that_it_goes_on(yard: Yard) -> None:
    log, guard = await yard.process()
    writer, run = Writer(log), a_run(f"tnt_alice_{yard.shard}", 100 * yard.shard)
    await writer.write(run, *five_steps(run))
    async with Database(yard.database.engine) as engine:
        async with engine.session() as session:
            keeper = await Keeper.begin(session, yard.shard)
            async with log.copies(Sequence(0)) as batches:
                await keeper.keep(session, await anext(aiter(batches)))
            await keeper.halt(session, "the log has another commit at 6 than was kept")
        async with running(guard.run()):
            await until(partial(_refuses, guard))
            with pytest.raises(LogTakenBack):
                await writer.append(run, started(run))
            assert await log.last_sequence() == 6
            async with running(LedgerRunner(log, engine, shard=yard.shard).run()):
                await until(partial(_allows, guard))
            await writer.append(run, started(run))


async def test_without_the_database_a_process_goes_on_that_knew_and_one_that_never_knew_does_not_begin(
    yard: Yard,
) -> None:
    log, _ = await yard.process()
    run = a_run(f"tnt_alice_{yard.shard}", 100 * yard.shard)
    await Writer(log).append(run, started(run))
    known: list[KeptUpTo | Unavailable] = [KeptUpTo(sequence=1, halted=None)]
    breaks = 0

    async def kept() -> KeptUpTo:
        if isinstance(known[0], Unavailable):
            raise known[0]
        return known[0]

    guard = LogGuard(kept, log.last_sequence, lambda: breaks)
    await guard.check()
    known[0] = Unavailable("the database")
    breaks += 1
    await guard.check()
    with pytest.raises(Unavailable, match="database"):
        await LogGuard(kept, log.last_sequence, lambda: 0).check()


async def test_the_doctor_names_a_log_that_ends_before_what_was_kept_of_it(
    engines: Embedded, database: DatabaseUrls, tmp_path: Path
) -> None:
    settings = Settings(
        nats_url=engines.urls.nats,
        database_url=database.app,
        database_engine_url=database.engine,
        data_dir=tmp_path,
        sandbox="off",
    )
    async with Database(database.owner) as owner, owner.platform() as tx:
        await tx.run("INSERT INTO projection_positions (shard, name, sequence) VALUES (0, 'ledger', 2147483647)")
    findings = {finding.name: finding for finding in await operating.examine(settings)}
    found = findings["log and ledger"]
    assert (found.status, "taken back" in found.detail, "ledger-mismatch" in found.mend) == ("fail", True, True)


async def _refuses(guard: LogGuard) -> bool:
    try:
        await guard.check()
    except LogTakenBack:
        return True
    return False


async def _allows(guard: LogGuard) -> bool:
    return not await _refuses(guard)
