"""One command: loaded, decided, appended once, whoever else writes to the stream at the same time."""

import asyncio
from typing import Any

import pytest
from msgspec import Struct

from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.codec import CommitTooLarge
from fairlead.domain.envelope import SYSTEM, Sequence, StreamRef
from fairlead.domain.errors import Rejected, StreamMoved
from fairlead.domain.ids import CommandId
from fairlead.handling import handler as handling
from fairlead.handling.handler import Cause, Decider, Handler
from fairlead.ports import AnyCommit, AnyRecorded
from tests.support.clock import ManualClock
from tests.support.commits import NOTES, Noted, run

RUN = run("1")
HUGE = "x" * 9_000_000


class Add(Struct, frozen=True):
    """Refused when it is there; of the number 0 there is never anything to say."""

    number: int
    text: str = ""


def decide(command: Add, state: tuple[int, ...]) -> list[Noted]:
    if command.number in state:
        raise Rejected(f"{command.number} is there")
    return [Noted(number=command.number, text=command.text)] if command.number else []


def smaller(command: Add) -> Add | None:
    return Add(command.number) if command.text and command.number < 100 else None


NUMBERS = Decider(initial=tuple, evolve=lambda state, event: (*state, event.number), decide=decide, smaller=smaller)
BEGINNING = Decider(
    initial=tuple,
    evolve=lambda state, event: (*state, event.number),
    decide=decide,
    begins=lambda command: command.number == 1,
)
FINISHING = Decider(
    initial=tuple,
    evolve=lambda state, event: (*state, event.number),
    decide=decide,
    finished=lambda state: len(state) == 2,
)


def handler(log: Any, decider: Decider = NUMBERS, **more: Any) -> Handler:
    return Handler(log, ManualClock(), {"run": decider}, **more)


def cause(name: str) -> Cause:
    return Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{name}"))


class WatchedLog(MemoryLog):
    """Counts what it is asked; `before_append` lets somebody be first."""

    def __init__(self) -> None:
        super().__init__(NOTES)
        self.reads = self.appends = 0
        self.before_append: Any = None
        self.hold_reads: asyncio.Event | None = None

    async def append(self, commit: AnyCommit, expected: Sequence, subject: str = "", marks: Any = None) -> Sequence:
        self.appends += 1
        if self.before_append is not None:
            await self.before_append(self.appends)
        return await super().append(commit, expected, subject, marks)

    async def read(self, stream: StreamRef, after: Sequence = Sequence(0)) -> list[AnyRecorded]:
        self.reads += 1
        found = await super().read(stream, after)
        if self.hold_reads is not None:
            await self.hold_reads.wait()
        return found


@pytest.fixture
def log() -> WatchedLog:
    return WatchedLog()


async def test_the_usual_command_costs_one_append_and_no_read(log: WatchedLog) -> None:
    one = handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    log.reads = log.appends = 0
    handled = await one.handle(RUN, Add(2), cause("2"))
    assert (handled.state, handled.facts) == ((1, 2), (Noted(number=2),))
    assert (log.reads, log.appends) == (0, 1)


async def test_a_command_that_begins_a_stream_does_not_look_for_one(log: WatchedLog) -> None:
    handled = await handler(log, BEGINNING).handle(RUN, Add(1), cause("1"))
    assert handled.facts == (Noted(number=1),)
    assert (log.reads, log.appends) == (0, 1)


async def test_a_beginning_asked_for_again_finds_what_it_did_and_another_is_refused(log: WatchedLog) -> None:
    first = await handler(log, BEGINNING).handle(RUN, Add(1), cause("1"))
    again = await handler(log, BEGINNING).handle(RUN, Add(1, "later"), cause("1"))
    assert (again.sequence, again.facts) == (first.sequence, ())
    with pytest.raises(Rejected):
        await handler(log, BEGINNING).handle(RUN, Add(1), cause("2"))
    assert len(await log.read(RUN)) == 1


async def test_whoever_comes_second_decides_again_on_what_the_first_wrote(log: WatchedLog) -> None:
    one, other = handler(log), handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    await other.handle(RUN, Add(2), cause("2"))
    assert (await one.handle(RUN, Add(3), cause("3"))).state == (1, 2, 3)
    assert [commit.commit.first_version for commit in await log.read(RUN)] == [1, 2, 3]


async def test_a_refusal_is_never_given_from_memory_alone(log: WatchedLog) -> None:
    one, other = handler(log), handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    await other.handle(RUN, Add(2), cause("2"))
    log.reads = 0
    with pytest.raises(Rejected):
        await one.handle(RUN, Add(2), cause("3"))
    with pytest.raises(Rejected):
        await one.handle(RUN, Add(1), cause("4"))
    assert log.reads == 2


async def test_finding_nothing_to_do_is_never_said_from_memory_alone(log: WatchedLog) -> None:
    one, other = handler(log), handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    await other.handle(RUN, Add(2), cause("2"))
    handled = await one.handle(RUN, Add(0), cause("3"))
    assert (handled.state, handled.facts, handled.sequence) == ((1, 2), (), 2)


async def test_a_command_id_makes_one_commit(log: WatchedLog) -> None:
    one = handler(log)
    first = await one.handle(RUN, Add(1), cause("same"))
    again = await one.handle(RUN, Add(5), cause("same"))
    assert (again.sequence, again.facts) == (first.sequence, ())
    assert len(await log.read(RUN)) == 1


async def test_a_command_that_another_process_carried_out_leaves_this_one_with_what_happened(log: WatchedLog) -> None:
    """Were its own decision taken for what is on the log, every later decision here would be wrong."""
    one, other = handler(log), handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    await other.handle(RUN, Add(2), cause("2"))
    await other.handle(RUN, Add(3, "as the other saw it"), cause("same"))
    handled = await one.handle(RUN, Add(4), cause("same"))
    assert (handled.state, handled.facts) == ((1, 2, 3), ())
    assert (await one.handle(RUN, Add(4), cause("4"))).state == (1, 2, 3, 4)
    assert [commit.commit.first_version for commit in await log.read(RUN)] == [1, 2, 3, 4]


@pytest.mark.parametrize("processes", [1, 2])
async def test_fifty_at_once_are_all_carried_out(log: WatchedLog, processes: int) -> None:
    handlers = [handler(log) for _ in range(processes)]
    commands = [handlers[number % processes].handle(RUN, Add(number), cause(str(number))) for number in range(1, 51)]
    handled = await asyncio.gather(*commands)
    commits = await log.read(RUN)
    assert sorted(each.sequence for each in handled) == list(range(1, 51))
    assert {commit.commit.events[0].number for commit in commits} == set(range(1, 51))
    assert [commit.commit.first_version for commit in commits] == list(range(1, 51))
    for each in handlers:
        assert sorted((await each.load(RUN)).state) == list(range(1, 51))


async def test_a_stream_that_never_stands_still_is_given_up(log: WatchedLog) -> None:
    one, other = handler(log), handler(MemoryLogOf(log))

    async def somebody_is_first(number: int) -> None:
        await other.handle(RUN, Add(1_000 + number), cause(f"rival-{number}"))

    log.before_append = somebody_is_first
    with pytest.raises(StreamMoved):
        await one.handle(RUN, Add(1), cause("1"))
    assert log.appends == handling.MAX_ATTEMPTS


class MemoryLogOf:
    """The same log, unwatched."""

    def __init__(self, log: WatchedLog) -> None:
        self._log = log

    async def append(self, commit: AnyCommit, expected: Sequence, subject: str = "", marks: Any = None) -> Sequence:
        return await MemoryLog.append(self._log, commit, expected, subject, marks)

    async def read(self, stream: StreamRef, after: Sequence = Sequence(0)) -> list[AnyRecorded]:
        return await MemoryLog.read(self._log, stream, after)


async def test_a_decision_that_fits_no_commit_is_taken_smaller_or_refused(log: WatchedLog) -> None:
    one = handler(log)
    assert (await one.handle(RUN, Add(1, HUGE), cause("1"))).facts == (Noted(number=1),)
    with pytest.raises(CommitTooLarge):
        await one.handle(RUN, Add(100, HUGE), cause("2"))
    assert (await one.load(RUN)).state == (1,)


async def test_what_follows_an_append_is_told_once_with_the_facts_and_the_state(log: WatchedLog) -> None:
    told: list[Any] = []

    async def appended(stream: StreamRef, facts: Any, state: Any) -> None:
        told.append((stream, facts, state))

    one = handler(log, appended={"run": appended})
    for _ in range(2):
        await one.handle(RUN, Add(1), cause("1"))
    assert told == [(RUN, (Noted(number=1),), (1,))]


async def test_a_load_that_knows_the_head_reads_only_what_is_new(log: WatchedLog) -> None:
    one, other = handler(log), handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    log.reads = 0
    assert (await one.load(RUN, Sequence(1))).state == (1,)
    assert log.reads == 0
    await other.handle(RUN, Add(2), cause("2"))
    assert (await one.load(RUN, Sequence(2))).state == (1, 2)


async def test_a_slow_read_does_not_take_the_place_of_newer_state(log: WatchedLog) -> None:
    one = handler(log)
    await one.handle(RUN, Add(1), cause("1"))
    log.hold_reads = asyncio.Event()
    slow = asyncio.create_task(one.load(RUN))
    await asyncio.sleep(0)
    held, log.hold_reads = log.hold_reads, None
    await one.handle(RUN, Add(2), cause("2"))
    held.set()
    await slow
    log.reads = 0
    await one.handle(RUN, Add(3), cause("3"))
    assert (log.reads, log.appends) == (0, 3)


async def test_kept_states_are_bounded_in_number_and_in_bytes(log: WatchedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "KEPT_STREAMS", 3)
    monkeypatch.setattr(handling, "KEPT_BYTES", 10_000)
    one = handler(log)
    for number in range(1, 6):
        await one.handle(run(str(number)), Add(1), cause(f"few-{number}"))
    assert len(one._kept) == 3
    for number in range(1, 4):
        await one.handle(run(str(number)), Add(2, "x" * 6_000), cause(f"much-{number}"))
    assert len(one._kept) == 1
    assert one._kept_bytes == sum(kept.size_bytes for kept in one._kept.values())
    assert (await one.handle(run("1"), Add(3), cause("3"))).state == (1, 2, 3)


async def test_a_finished_stream_is_not_kept(log: WatchedLog) -> None:
    one = handler(log, FINISHING)
    await one.handle(RUN, Add(1), cause("1"))
    assert RUN in one._kept
    await one.handle(RUN, Add(2), cause("2"))
    assert (RUN in one._kept, one._kept_bytes) == (False, 0)


async def test_streams_do_not_wait_for_each_other(log: WatchedLog) -> None:
    """The first append of one stream waits until another stream's command is done."""
    one = handler(log)
    other_done = asyncio.Event()

    async def first_waits(number: int) -> None:
        if number == 1:
            await other_done.wait()

    log.before_append = first_waits
    slow = asyncio.create_task(one.handle(RUN, Add(1), cause("1")))
    await asyncio.sleep(0)
    await one.handle(run("2"), Add(1), cause("2"))
    other_done.set()
    assert (await slow).state == (1,)
