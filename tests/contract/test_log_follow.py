"""Following the log: everything in order, then what comes, and to be told when that is all."""

import asyncio
from itertools import count

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.domain.codec import UnknownEvent, Unreadable, UnreadableCommit
from fairlead.domain.envelope import CLAIM_CHECK_BYTES, Kind, Sequence
from fairlead.ports import Batches, Copy, CopyBatches, Log, LogCopies
from tests.contract.conftest import Logs
from tests.support.commits import Sung, Torn, approval, note, of, readable, run, with_body_of

EMPTY = Sequence(0)


async def until_caught_up(batches: Batches) -> list[list[int]]:
    """Places in each batch before the empty one."""
    seen: list[list[int]] = []
    async for batch in batches:
        if not batch:
            return seen
        seen.append([recorded.sequence for recorded in batch])
    raise AssertionError("following does not end")


async def fill(log: Log, commits: int, first: int = 1) -> list[int]:
    return [await log.append(note(run(str(number))), EMPTY) for number in range(first, first + commits)]


async def test_an_empty_log_is_caught_up_with_at_once(log: Log) -> None:
    async with log.follow(EMPTY) as batches:
        assert await until_caught_up(batches) == []


async def test_everything_past_the_position_comes_in_order(log: Log) -> None:
    places = await fill(log, 30)
    async with log.follow(Sequence(10)) as batches:
        assert [place for batch in await until_caught_up(batches) for place in batch] == places[10:]


async def test_a_batch_is_never_larger_than_asked_and_never_waits_to_be_full(log: Log) -> None:
    await fill(log, 25)
    async with log.follow(EMPTY, max_batch=10) as batches:
        sizes = [len(batch) for batch in await until_caught_up(batches)]
    assert sum(sizes) == 25
    assert max(sizes) <= 10


async def test_what_is_appended_later_comes_by_itself_and_being_caught_up_is_said_again(log: Log) -> None:
    await fill(log, 2)
    async with log.follow(EMPTY) as batches:
        await until_caught_up(batches)
        for number in (3, 4):
            (place,) = await fill(log, 1, number)
            assert await until_caught_up(batches) == [[place]]


async def test_what_comes_while_the_caller_pauses_comes_together(log: Log) -> None:
    places = await fill(log, 3)
    async with log.follow(EMPTY, max_batch=10, in_bursts=True) as batches:
        assert await until_caught_up(batches) == [places]
        waiting = asyncio.ensure_future(until_caught_up(batches))
        (first,) = await fill(log, 1, 4)
        assert await waiting == [[first]], "whoever waits is told of the first that comes"
        places = await fill(log, 25, 5)
        assert await until_caught_up(batches) == [places[:10], places[10:20], places[20:]]
        for number in (30, 31):
            (place,) = await fill(log, 1, number)
            assert await until_caught_up(batches) == [[place]]


async def test_only_the_kinds_asked_for_come(log: Log) -> None:
    await log.append(note(run("1")), EMPTY)
    wanted = await log.append(note(approval("1")), EMPTY)
    await log.append(note(run("2")), EMPTY)
    kinds: list[Kind] = ["approval", "tenant"]
    async with log.follow(EMPTY, kinds) as batches:
        assert await until_caught_up(batches) == [[wanted]]


async def test_only_what_the_tenants_asked_for_have_comes(log: Log) -> None:
    one, two, three = (TenantId(f"tnt_{name}") for name in ("one", "two", "three"))
    places = [await log.append(note(run(tenant, tenant)), EMPTY) for tenant in (one, two, three)]
    async with log.follow(EMPTY, tenants=[one, three]) as batches:
        assert await until_caught_up(batches) == [[places[0], places[2]]]
    async with log.follow(EMPTY, ["approval"], tenants=[one]) as batches:
        assert await until_caught_up(batches) == []
    async with log.follow(EMPTY, ["approval", "run"], tenants=[two]) as batches:
        assert await until_caught_up(batches) == [[places[1]]]


async def test_two_followers_both_get_everything(logs: Logs) -> None:
    places = await fill(logs.here, 5)
    other = await logs.elsewhere()
    async with logs.here.follow(EMPTY) as mine, other.follow(EMPTY) as theirs:
        for batches in (mine, theirs):
            assert [place for batch in await until_caught_up(batches) for place in batch] == places


async def test_giving_up_to_wait_loses_nothing(log: Log) -> None:
    async with log.follow(EMPTY) as batches:
        await until_caught_up(batches)
        each = aiter(batches)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(each)
        (place,) = await fill(log, 1)
        assert [recorded.sequence for recorded in await anext(each)] == [place]


async def test_a_follower_keeps_up_with_writers_at_work(log: Log) -> None:
    numbers = count(1)

    async def write() -> None:
        for _ in range(100):
            await log.append(note(run(str(next(numbers)))), EMPTY)

    seen: list[int] = []
    async with log.follow(EMPTY, max_batch=7) as batches, asyncio.TaskGroup() as writers:
        for _ in range(4):
            writers.create_task(write())
        async for batch in batches:
            seen += [recorded.sequence for recorded in batch]
            if len(seen) == 400:
                break
    assert seen == list(range(1, 401))


async def test_large_commits_come_whole(log: Log) -> None:
    commit = with_body_of(CLAIM_CHECK_BYTES + 1, run("1"))
    await log.append(commit, EMPTY)
    async with log.follow(EMPTY) as batches:
        assert [recorded.commit for recorded in readable(await anext(aiter(batches)))] == [commit]


async def test_what_cannot_be_read_comes_in_its_place_with_the_reason_and_the_rest_goes_on(log: Log) -> None:
    places = [
        await log.append(commit, EMPTY)
        for commit in (note(run("1")), of(Sung(), run("2")), of(Torn(), approval("3")), note(run("4")))
    ]
    async with log.follow(EMPTY) as batches:
        seen = await anext(aiter(batches))
    assert [each.sequence for each in seen] == places
    assert [each.stream for each in seen] == [run("1"), run("2"), approval("3"), run("4")]
    reasons = [type(each.reason) for each in seen if isinstance(each, Unreadable)]
    assert reasons == [UnknownEvent, UnreadableCommit]


async def test_copies_are_every_commit_as_it_is_stored_whether_it_can_be_read_or_not(logs: Logs) -> None:
    log = logs.here
    assert isinstance(log, LogCopies)
    await fill(log, 3)
    async with log.copies(Sequence(1)) as batches:
        copies = [copy for batch in await _until_caught_up(batches) for copy in batch]
    assert [copy.sequence for copy in copies] == [2, 3]
    (recorded,) = await log.read(run("2"))
    assert (copies[0].body, copies[0].message_id) == (recorded.body, recorded.commit.commit_id)
    assert copies[0].stream == run("2")
    again = await log.copy_of(Sequence(2))
    assert again is not None
    assert (again.body, again.message_id, again.stream) == (copies[0].body, copies[0].message_id, copies[0].stream)
    assert await log.copy_of(Sequence(4)) is None


async def _until_caught_up(batches: CopyBatches) -> list[list[Copy]]:
    seen: list[list[Copy]] = []
    async for batch in batches:
        if not batch:
            return seen
        seen.append(batch)
    raise AssertionError("following does not end")
