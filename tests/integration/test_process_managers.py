"""Process managers: commands follow commits, at least once asked and at most once effective."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.consumers import process_runner
from fairlead.consumers.parking import Parked, parked_of
from fairlead.consumers.process_runner import NO_BUILD, ProcessRunner, command_id
from fairlead.consumers.replay import Replayed
from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.errors import Rejected, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.runs import events as e
from fairlead.handling.handler import Cause
from fairlead.ports import AnyRecorded
from tests.support.histories import CODEC, Forgetful, Writer, a_run, started

ALICE = "tnt_alice"
LONG_S = 20.0


class Echo:
    """Sends two commands for each commit. Fails for those in `faulty`."""

    NAME = "echo"
    KINDS: tuple[Kind, ...] = ("run",)

    def __init__(self) -> None:
        self.faulty: set[int] = set()

    def react(self, recorded: AnyRecorded) -> Sequence[tuple[StreamRef, Any]]:
        if recorded.sequence in self.faulty:
            raise ValueError("cannot think of anything")
        return [(recorded.commit.stream, word) for word in ("hello", "again")]


class Handled:
    """Stands where the command handler does: knows a command id again, and can be told to fail first."""

    def __init__(self) -> None:
        self.causes: dict[CommandId, Cause] = {}
        self.asked = 0
        self.failures: list[Exception] = []
        self._changed = asyncio.Condition()

    async def handle(self, _stream: StreamRef, _command: Any, cause: Cause) -> None:
        async with self._changed:
            self.asked += 1
            self._changed.notify_all()
            if self.failures:
                raise self.failures.pop(0)
            self.causes[cause.command_id] = cause

    async def have(self, count: int) -> None:
        async with asyncio.timeout(LONG_S), self._changed:
            await self._changed.wait_for(lambda: len(self.causes) >= count)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    monkeypatch.setattr(process_runner, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(process_runner, "REDELIVER_AFTER_S", 0.01)
    return MemoryLog(CODEC)


async def test_commands_are_named_after_their_cause(log: MemoryLog, engine_database: Database) -> None:
    handled, run = Handled(), a_run(ALICE, 1)
    await Writer(log).append(run, started(run))
    async with _running(ProcessRunner(log, engine_database, handled.handle, Echo())):
        await handled.have(2)
    [recorded] = await log.read(run)
    expected = [command_id("echo", recorded.commit.commit_id, number) for number in range(2)]
    assert list(handled.causes) == expected
    assert {(cause.causation_id, cause.correlation_id) for cause in handled.causes.values()} == {("1-0", run.id)}


async def test_a_second_delivery_asks_under_the_same_ids(log: MemoryLog, engine_database: Database) -> None:
    handled, run = Handled(), a_run(ALICE, 1)
    handled.failures = [Unavailable("the log")]
    await Writer(log).append(run, started(run))
    async with _running(ProcessRunner(log, engine_database, handled.handle, Echo())):
        await handled.have(2)
    assert (handled.asked, len(handled.causes)) == (3, 2)


async def test_a_refused_command_is_an_answer_and_the_next_one_is_sent(
    log: MemoryLog, engine_database: Database
) -> None:
    handled, run = Handled(), a_run(ALICE, 1)
    handled.failures = [Rejected("the run has ended")]
    await Writer(log).append(run, started(run))
    async with _running(ProcessRunner(log, engine_database, handled.handle, Echo())):
        await handled.have(1)
    assert handled.asked == 2
    assert await _parked(engine_database) == []


async def test_a_reaction_that_keeps_failing_is_parked_the_others_go_on_and_it_can_be_replayed(
    log: MemoryLog, engine_database: Database
) -> None:
    echo, handled, writer = Echo(), Handled(), Writer(log)
    sick, well = a_run(ALICE, 1), a_run(ALICE, 2)
    echo.faulty = {await writer.append(sick, started(sick))}
    await writer.append(well, started(well))
    await writer.append(sick, e.RunPaused(reason="lunch"))
    runner = ProcessRunner(log, engine_database, handled.handle, echo)
    async with _running(runner):
        await handled.have(4)  # of which two come after the faulty one in its stream
    echo.faulty = set()
    [parked] = await _parked(engine_database)
    assert (parked.sequence, parked.error_class, parked.message) == (1, "ValueError", "cannot think of anything")
    assert await runner.replay(sick.tenant_id) == Replayed(done=1)
    assert len(handled.causes) == 6
    assert await runner.replay(sick.tenant_id) == Replayed()


async def test_what_fails_again_when_it_is_replayed_stays_parked_and_the_others_do_not_wait_for_it(
    log: MemoryLog, engine_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_runner, "MAX_REPLAYED_AT_ONCE", 2)
    echo, handled, run = Echo(), Handled(), a_run(ALICE, 1)
    await Writer(log).write(run, (started(run),), *[(e.RunPaused(reason="lunch"),) for _ in range(5)])
    echo.faulty = {1, 2, 3, 4, 5}
    runner = ProcessRunner(log, engine_database, handled.handle, echo)
    async with _running(runner):
        await handled.have(2)  # those of the sixth
    assert await runner.replay(TenantId("tnt_bob")) == Replayed()
    echo.faulty = {1, 4}
    found = await runner.replay(run.tenant_id)
    assert found == Replayed(done=3, left=2, error="ValueError: cannot think of anything")
    assert [parked.sequence for parked in await _parked(engine_database)] == [1, 4]


async def test_a_commit_that_cannot_be_read_is_parked_at_once_and_reacted_to_when_it_can_be(
    log: MemoryLog, engine_database: Database
) -> None:
    codec = Forgetful()
    log, handled, run = MemoryLog(codec), Handled(), a_run(ALICE, 1)
    codec.forgotten = {b"run.started.v1"}
    await Writer(log).write(run, (started(run),), (e.RunPaused(reason="lunch"),))
    runner = ProcessRunner(log, engine_database, handled.handle, Echo())
    async with _running(runner):
        await handled.have(2)  # those of what follows
    [parked] = await _parked(engine_database)
    assert (parked.sequence, parked.kind, parked.stream_id, parked.error_class) == (1, "run", run.id, "UnknownEvent")
    codec.forgotten = set()
    assert await runner.replay(run.tenant_id) == Replayed(done=1)
    assert len(handled.causes) == 4


async def test_a_command_to_a_stream_that_cannot_be_read_is_no_refusal_and_its_cause_is_parked(
    log: MemoryLog, engine_database: Database
) -> None:
    handled, run = Handled(), a_run(ALICE, 1)
    handled.failures = [UnreadableCommit("damaged") for _ in range(process_runner.MAX_ATTEMPTS)]
    await Writer(log).write(run, (started(run),), (e.RunPaused(reason="lunch"),))
    runner = ProcessRunner(log, engine_database, handled.handle, Echo())
    async with _running(runner):
        await handled.have(2)
    [parked] = await _parked(engine_database)
    assert (parked.sequence, parked.error_class) == (1, "UnreadableCommit")


async def _parked(database: Database) -> list[Parked]:
    async with database.read(ALICE) as tx:
        return await parked_of(tx, "echo", NO_BUILD, 10)


@asynccontextmanager
async def _running(runner: ProcessRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
