"""Sharing the log among processes: order within a partition, one holder at a time, and another when it is gone."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Kind, Sequence
from fairlead.ports import Delivery, Followed, Log, Shares
from tests.contract.conftest import FAILOVER_S, Logs
from tests.support.commits import Sung, approval, note, of, run

EMPTY = Sequence(0)
GROUP = "engine"


def places(delivery: Delivery) -> list[int]:
    return [recorded.sequence for recorded in delivery.recorded]


async def history(log: Log, name: str, commits: int) -> list[int]:
    seen = [EMPTY]
    for number in range(1, commits + 1):
        seen.append(await log.append(note(run(name), number), seen[-1]))
    return list(seen[1:])


async def take(shares: Shares, commits: int) -> list[int]:
    """Acknowledge deliveries until they held this many commits."""
    seen: list[int] = []
    async for delivery in shares:
        seen += places(delivery)
        await delivery.ack()
        if len(seen) >= commits:
            return seen
    raise AssertionError("sharing does not end")


async def test_a_delivery_holds_commits_of_one_partition_in_order(log: Log) -> None:
    for name in range(40):
        await history(log, str(name), 2)
    by_partition: defaultdict[int, list[int]] = defaultdict(list)
    async with log.share(GROUP) as shares:
        async for delivery in shares:
            assert {recorded.stream.partition for recorded in delivery.recorded} == {delivery.partition}
            by_partition[delivery.partition] += places(delivery)
            await delivery.ack()
            if sum(map(len, by_partition.values())) == 80:
                break
    assert set(by_partition) == {run(str(name)).partition for name in range(40)}
    assert all(seen == sorted(set(seen)) for seen in by_partition.values())


async def test_a_delivery_is_never_larger_than_asked(log: Log) -> None:
    written = await history(log, "1", 23)
    sizes = []
    async with log.share(GROUP, max_batch=5) as shares:
        async for delivery in shares:
            sizes.append(len(delivery.recorded))
            await delivery.ack()
            if sum(sizes) == len(written):
                break
    assert max(sizes) <= 5


async def test_the_next_delivery_of_a_partition_comes_only_after_this_one_is_settled(log: Log) -> None:
    written = await history(log, "1", 4)
    async with log.share(GROUP, max_batch=2) as shares:
        each = aiter(shares)
        first = await anext(each)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(each)
        await first.ack()
        assert places(first) + places(await anext(each)) == written


async def test_a_partition_that_waits_does_not_hold_up_the_others(log: Log) -> None:
    streams = [run(str(number)) for number in range(8)]
    for stream in streams:
        await log.append(note(stream), EMPTY)
    expected = {stream.partition for stream in streams}
    async with log.share(GROUP) as shares:
        seen = set()
        async for delivery in shares:
            seen.add(delivery.partition)
            if seen == expected:
                break


async def test_a_refused_delivery_comes_again_after_the_delay_and_before_what_follows(log: Log) -> None:
    written = await history(log, "1", 4)
    async with log.share(GROUP, max_batch=2) as shares:
        each = aiter(shares)
        first = await anext(each)
        refused_at = asyncio.get_running_loop().time()
        await first.nack(0.3)
        again = await anext(each)
        assert asyncio.get_running_loop().time() - refused_at >= 0.3
        assert places(again) == places(first)
        await again.ack()
        assert places(first) + places(await anext(each)) == written


async def test_a_delivery_may_take_longer_than_a_failover(logs: Logs) -> None:
    await history(logs.here, "1", 3)
    other = await logs.elsewhere()
    async with logs.here.share(GROUP) as mine:
        delivery = await anext(aiter(mine))
        async with other.share(GROUP) as theirs:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.5 * FAILOVER_S):
                    await anext(aiter(theirs))
        await delivery.ack()


async def test_only_the_kinds_asked_for_come(log: Log) -> None:
    await log.append(note(run("1")), EMPTY)
    wanted = await log.append(note(approval("1")), EMPTY)
    kinds: list[Kind] = ["approval"]
    async with log.share(GROUP, kinds) as shares:
        assert await take(shares, 1) == [wanted]


async def test_groups_do_not_know_of_each_other(log: Log) -> None:
    written = await history(log, "1", 3)
    async with log.share("one") as one, log.share("two") as two:
        assert await take(one, 3) == written
        assert await take(two, 3) == written


async def test_what_was_acknowledged_does_not_come_to_the_next_holder(logs: Logs) -> None:
    written = await history(logs.here, "1", 6)
    async with logs.here.share(GROUP, max_batch=2) as shares:
        first = await anext(aiter(shares))
        await first.ack()
        await anext(aiter(shares))  # left unsettled
    other = await logs.elsewhere()
    async with other.share(GROUP, max_batch=6) as shares:
        assert await take(shares, 4) == written[2:]


async def test_two_processes_share_and_every_commit_is_dealt_with_once(logs: Logs) -> None:
    other = await logs.elsewhere()
    seen: defaultdict[int, list[int]] = defaultdict(list)
    finished = asyncio.Event()

    async def work(log: Log) -> None:
        async with log.share(GROUP, max_batch=10) as shares:
            async for delivery in shares:
                seen[delivery.partition] += places(delivery)
                await delivery.ack()
                if sum(map(len, seen.values())) >= 320:
                    finished.set()

    async with asyncio.TaskGroup() as processes:
        workers = [processes.create_task(work(log)) for log in (logs.here, other)]
        await asyncio.gather(*(history(logs.here, str(name), 10) for name in range(32)))
        await finished.wait()
        for worker in workers:
            worker.cancel()
    assert all(places == sorted(set(places)) for places in seen.values())
    assert sorted(place for places in seen.values() for place in places) == list(range(1, 321))


async def test_when_a_holder_leaves_another_goes_on_in_order_from_what_was_acknowledged(logs: Logs) -> None:
    written = await history(logs.here, "1", 30)
    other = await logs.elsewhere()
    async with AsyncExitStack() as here:
        mine = aiter(await here.enter_async_context(logs.here.share(GROUP, max_batch=4)))
        first = await anext(mine)
        await first.ack()
        await anext(mine)  # left unsettled
        async with other.share(GROUP, max_batch=4) as theirs:
            waiting = asyncio.create_task(take(theirs, 26))
            await here.aclose()
            rest = await waiting
    assert places(first) + rest == written


async def test_what_cannot_be_read_is_handed_over_in_its_place_and_the_partition_goes_on(log: Log) -> None:
    first, last = note(run("1")), note(run("1"), 3)
    place = await log.append(of(Sung(), run("1"), 2), await log.append(first, EMPTY))
    await log.append(last, place)
    seen: list[Followed] = []
    async with log.share(GROUP, max_batch=1) as shares:
        async for delivery in shares:
            seen += delivery.recorded
            await delivery.ack()
            if len(seen) == 3:
                break
    assert [(each.sequence, isinstance(each, Unreadable)) for each in seen] == [(1, False), (2, True), (3, False)]
