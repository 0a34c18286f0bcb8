"""Appending to the log and reading it back: what every implementation of `Log` does."""

import asyncio

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.domain.codec import CommitTooLarge, UnknownEvent, UnreadableCommit
from fairlead.domain.envelope import CLAIM_CHECK_BYTES, MAX_COMMIT_BYTES, Event, Sequence, StreamRef
from fairlead.domain.errors import NotFound, StreamMoved
from fairlead.ports import Log
from tests.contract.conftest import Logs
from tests.support.commits import NOTES, Sung, Torn, approval, note, of, run, with_body_of

EMPTY = Sequence(0)


async def test_what_was_appended_is_read_back_with_its_place_and_its_exact_bytes(log: Log) -> None:
    commit = note(run("1"))
    sequence = await log.append(commit, EMPTY)
    (recorded,) = await log.read(run("1"))
    assert (recorded.sequence, recorded.commit, recorded.body) == (sequence, commit, NOTES.encode(commit))


async def test_the_first_commit_of_a_log_is_number_one(log: Log) -> None:
    assert await log.last_sequence() == 0
    assert await log.append(note(run("1")), EMPTY) == 1
    assert await log.last_sequence() == 1


async def test_every_commit_gets_a_later_place_whatever_its_stream(log: Log) -> None:
    places = [await log.append(note(stream), EMPTY) for stream in (run("1"), approval("1"), run("2"))]
    assert places == sorted(set(places))


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_a_commit_that_expects_another_last_commit_is_refused(log: Log, expected: int) -> None:
    first = await log.append(note(run("1")), EMPTY)
    second = await log.append(note(run("1"), 2), first)
    assert second == 2
    with pytest.raises(StreamMoved):
        await log.append(note(run("1"), 3), Sequence(expected))
    assert len(await log.read(run("1"))) == 2


async def test_of_many_who_expect_the_same_exactly_one_appends(log: Log) -> None:
    attempts = [log.append(note(run("1"), command=f"cmd_{number}"), EMPTY) for number in range(20)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, StreamMoved) for outcome in outcomes) == 19
    assert len(await log.read(run("1"))) == 1


async def test_the_same_command_appended_twice_leaves_one_commit_and_both_hear_its_place(log: Log) -> None:
    first = await log.append(note(run("1")), EMPTY)
    assert await log.append(note(run("1")), EMPTY) == first
    assert len(await log.read(run("1"))) == 1


async def test_the_same_command_is_recognised_after_its_stream_went_on(log: Log) -> None:
    first = await log.append(note(run("1")), EMPTY)
    await log.append(note(run("1"), 2), first)
    assert await log.append(note(run("1")), EMPTY) == first


async def test_the_same_command_decided_otherwise_has_to_look_at_what_happened(log: Log) -> None:
    first = await log.append(note(run("1"), text="now"), EMPTY)
    with pytest.raises(StreamMoved):
        await log.append(note(run("1"), text="later"), EMPTY)
    with pytest.raises(StreamMoved):
        await log.append(note(run("1"), text="later"), first)
    assert len(await log.read(run("1"))) == 1


async def test_the_same_command_is_recognised_when_it_expects_its_own_commit(log: Log) -> None:
    first = await log.append(note(run("1")), EMPTY)
    assert await log.append(note(run("1")), first) == first
    assert await log.heads([run("1")]) == [first]


async def test_a_command_id_on_a_second_stream_is_a_fault_of_the_program(log: Log) -> None:
    await log.append(note(run("1"), command="cmd_x"), EMPTY)
    with pytest.raises(AssertionError):
        await log.append(note(run("2"), command="cmd_x"), EMPTY)


async def test_reading_starts_after_the_place_that_is_named(log: Log) -> None:
    first = await log.append(note(run("1")), EMPTY)
    await log.append(note(run("2")), EMPTY)
    second = await log.append(note(run("1"), 2), first)
    assert [each.sequence for each in await log.read(run("1"), first)] == [second]
    assert await log.read(run("1"), second) == []


async def test_a_stream_that_nobody_wrote_is_empty(log: Log) -> None:
    assert await log.read(run("nobody")) == []


async def test_tenants_with_the_same_stream_id_do_not_meet(log: Log) -> None:
    theirs = run("1", TenantId("tnt_b"))
    await log.append(note(run("1")), EMPTY)
    assert await log.read(theirs) == []
    assert await log.heads([theirs]) == [0]


async def test_a_history_longer_than_a_page_is_read_whole_and_in_order(log: Log) -> None:
    places = [EMPTY]
    for number in range(1, 522):
        places.append(await log.append(note(run("1"), number), places[-1]))
    recorded = await log.read(run("1"))
    assert [each.sequence for each in recorded] == places[1:]
    assert [each.commit.first_version for each in recorded] == list(range(1, 522))


async def test_heads_are_in_the_order_of_the_question_and_zero_where_nothing_is(log: Log) -> None:
    first = await log.append(note(run("1")), EMPTY)
    other = await log.append(note(approval("1")), EMPTY)
    last = await log.append(note(run("1"), 2), first)
    assert await log.heads([approval("1"), run("9"), run("1"), approval("1")]) == [other, 0, last, other]


async def test_no_heads_are_asked_for_without_streams(log: Log) -> None:
    assert await log.heads([]) == []


@pytest.mark.parametrize("name", ["run_*", "run_>", "*", ">", "run_1.run_2", "run 1", "run_1\r\nPUB x", "", "x" * 201])
async def test_a_name_that_could_mean_other_streams_finds_nothing(log: Log, name: str) -> None:
    await log.append(note(run("1")), EMPTY)
    for stream in (StreamRef(TenantId("tnt_a"), "run", name), StreamRef(TenantId(name), "run", "run_1")):
        with pytest.raises(NotFound):
            await log.read(stream)
        with pytest.raises(NotFound):
            await log.heads([stream])
        with pytest.raises(NotFound):
            await log.append(note(stream), EMPTY)


@pytest.mark.parametrize(
    "size_bytes", [CLAIM_CHECK_BYTES, CLAIM_CHECK_BYTES + 1, 1_500_000, MAX_COMMIT_BYTES - 1, MAX_COMMIT_BYTES]
)
async def test_a_commit_of_any_size_up_to_the_limit_is_read_back(log: Log, size_bytes: int) -> None:
    commit = with_body_of(size_bytes, run("1"))
    await log.append(commit, EMPTY)
    (recorded,) = await log.read(run("1"))
    assert len(recorded.body) == size_bytes
    assert recorded.commit == commit


async def test_a_commit_above_the_limit_is_refused_and_leaves_nothing(log: Log) -> None:
    with pytest.raises(CommitTooLarge):
        await log.append(with_body_of(MAX_COMMIT_BYTES + 1, run("1")), EMPTY)
    assert await log.last_sequence() == 0


async def test_what_one_process_appended_another_reads_at_once(logs: Logs) -> None:
    elsewhere = await logs.elsewhere()
    for number in range(1, 20):
        place = await logs.here.append(note(run(str(number))), EMPTY)
        assert await elsewhere.heads([run(str(number))]) == [place]
        assert [each.sequence for each in await elsewhere.read(run(str(number)))] == [place]


@pytest.mark.parametrize(("event", "reason"), [(Sung(), UnknownEvent), (Torn(), UnreadableCommit)])
async def test_a_history_with_a_commit_that_cannot_be_read_is_no_history(
    log: Log, event: Event, reason: type[UnreadableCommit]
) -> None:
    place = await log.append(of(event, run("1"), 2), await log.append(note(run("1")), EMPTY))
    with pytest.raises(reason):
        await log.read(run("1"))
    await log.append(note(run("1"), 3), place)
    assert [recorded.sequence for recorded in await log.read(run("1"), place)] == [3]
