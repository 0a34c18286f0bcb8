"""Orders: taken by one, back after their lease, never more in flight than asked."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fairlead.ports import Jobs, Order, Unfinished
from tests.contract.conftest import LEASE_S

TENANT = "tnt_a"


async def next_within(orders: AsyncIterator[Order], time_s: float) -> Order:
    async with asyncio.timeout(time_s):
        return await anext(orders)


async def nothing_within(orders: AsyncIterator[Order], time_s: float) -> None:
    with pytest.raises(TimeoutError):
        await next_within(orders, time_s)


async def test_an_order_is_taken_once_and_its_body_is_what_was_published(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 4) as orders:
        await jobs.publish(lane, TENANT, f"{lane}-1", b"work")
        order = await next_within(orders, 20)
        assert (order.body, order.deliveries) == (b"work", 1)
        await order.done()
        await nothing_within(orders, 2 * LEASE_S)


async def test_orders_wait_for_somebody_to_take_them(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 1):
        pass  # the lane is known
    for number in range(3):
        await jobs.publish(lane, TENANT, f"{lane}-{number}", b"%d" % number)
    async with jobs.take(lane, 3) as orders:
        taken = [await next_within(orders, 20) for _ in range(3)]
        assert [order.body for order in taken] == [b"0", b"1", b"2"]
        for order in taken:
            await order.done()


async def test_an_order_that_is_still_there_is_not_stored_again(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 4) as orders:
        for _ in range(2):
            await jobs.publish(lane, TENANT, f"{lane}-1.1", b"work")
        order = await next_within(orders, 20)
        await jobs.publish(lane, TENANT, f"{lane}-1.1", b"work")
        await nothing_within(orders, LEASE_S / 2)
        await order.done()
        await nothing_within(orders, 2 * LEASE_S)


async def test_an_order_that_is_done_can_be_given_again(jobs: Jobs, lane: str) -> None:
    """As soon as the engine has heard that it is done, so one who needs it gives it until it is taken."""

    async def give(taken: asyncio.Event) -> None:
        while not taken.is_set():
            await jobs.publish(lane, TENANT, f"{lane}-1.1", b"work")
            await asyncio.sleep(0.02)

    async with jobs.take(lane, 4) as orders, asyncio.TaskGroup() as giving:
        for _ in range(2):
            taken = asyncio.Event()
            giving.create_task(give(taken))
            again = await next_within(orders, 20)
            taken.set()
            assert again.deliveries == 1
            await again.done()


async def test_lanes_do_not_mix(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 4) as orders, jobs.take(f"{lane}b", 4) as others:
        await jobs.publish(f"{lane}b", TENANT, f"{lane}-1", b"work")
        await (await next_within(others, 20)).done()
        await nothing_within(orders, 0.2)


async def test_an_order_that_nobody_finished_comes_back_after_its_lease(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 4) as orders:
        await jobs.publish(lane, TENANT, f"{lane}-1", b"work")
        await next_within(orders, 20)
        again = await next_within(orders, 10 * LEASE_S)
        assert (again.body, again.deliveries) == (b"work", 2)
        await again.done()


async def test_an_order_that_is_extended_stays_with_its_taker(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 4) as orders:
        await jobs.publish(lane, TENANT, f"{lane}-1", b"work")
        order = await next_within(orders, 20)
        for _ in range(6):
            await nothing_within(orders, LEASE_S / 2)
            await order.extend()
        await order.done()


async def test_an_order_put_off_comes_back_after_the_delay(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 4) as orders:
        await jobs.publish(lane, TENANT, f"{lane}-1", b"work")
        await (await next_within(orders, 20)).later(0.3)
        await nothing_within(orders, 0.2)
        again = await next_within(orders, 20)
        assert again.deliveries == 2
        await again.done()


async def test_no_more_orders_are_in_flight_than_asked(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 2) as orders:
        for number in range(4):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"work")
        first, second = await next_within(orders, 20), await next_within(orders, 5)
        await nothing_within(orders, LEASE_S / 2)
        await first.done()
        third = await next_within(orders, 20)
        for order in (second, third, await next_within(orders, 20)):
            await order.done()


async def test_two_takers_share_a_lane_and_no_order_goes_to_both(jobs: Jobs, lane: str) -> None:
    taken: list[bytes] = []
    finished = asyncio.Event()

    async def work() -> None:
        async with jobs.take(lane, 5) as orders:
            async for order in orders:
                taken.append(order.body)
                await order.done()
                if len(taken) == 100:
                    finished.set()

    async with asyncio.TaskGroup() as processes:
        workers = [processes.create_task(work()) for _ in range(2)]
        for number in range(100):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"%d" % number)
        await finished.wait()
        for worker in workers:
            worker.cancel()
    assert sorted(map(int, taken)) == list(range(100))


async def test_what_a_taker_received_and_did_not_hand_out_goes_to_another(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 10) as orders:
        for number in range(5):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"%d" % number)
        await (await next_within(orders, 20)).done()
    async with jobs.take(lane, 10) as orders:
        rest = [await next_within(orders, LEASE_S) for _ in range(4)]
        assert sorted(order.body for order in rest) == [b"1", b"2", b"3", b"4"]
        for order in rest:
            await order.done()


async def test_what_nobody_has_finished_is_counted_and_dated(jobs: Jobs, lane: str) -> None:
    assert await jobs.unfinished(lane) == Unfinished(0, 0.0)
    async with jobs.take(lane, 1) as orders:
        for number in range(3):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"work")
        first = await next_within(orders, 20)
        while (seen := await jobs.unfinished(lane)).count < 3:
            await first.extend()  # the engine takes orders without a word
        assert seen.oldest_s >= 0
        await first.done()
        while (await jobs.unfinished(lane)).count != 2:  # noqa: ASYNC110  # the engine settles orders without a word
            await asyncio.sleep(0)


async def test_a_flood_of_one_tenant_is_not_in_front_of_the_order_of_another(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 8) as orders:
        for number in range(300):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"flood")
        for _ in range(20):
            await (await next_within(orders, 20)).done()
        await jobs.publish(lane, "tnt_b", f"{lane}-only", b"quiet")
        bodies = []
        while b"quiet" not in bodies:
            order = await next_within(orders, 20)
            bodies.append(order.body)
            await order.done()
    assert len(bodies) <= 50, "it is served among those that were on their way, not after all"


async def test_one_tenant_leaves_a_place_for_another(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 8) as orders:
        for number in range(20):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"flood")
        held = [await next_within(orders, 20) for _ in range(7)]
        await nothing_within(orders, LEASE_S / 2)
        await jobs.publish(lane, "tnt_b", f"{lane}-only", b"quiet")
        quiet = await next_within(orders, LEASE_S / 2)
        assert quiet.body == b"quiet"
        for order in (quiet, *held):
            await order.done()


async def test_tenants_that_all_want_much_are_served_in_turn(jobs: Jobs, lane: str) -> None:
    tenants = ["tnt_a", "tnt_b", "tnt_c"]
    async with jobs.take(lane, 6) as orders:
        for tenant in tenants:
            for number in range(60):
                await jobs.publish(lane, tenant, f"{lane}-{number}", tenant.encode())
        served = []
        for _ in range(120):
            order = await next_within(orders, 20)
            served.append(order.body.decode())
            await order.done()
    later = served[30:]  # all three are known by then
    assert min(later.count(tenant) for tenant in tenants) >= 15, served


async def test_an_order_that_waits_makes_room_for_another_and_still_is_ours(jobs: Jobs, lane: str) -> None:
    async with jobs.take(lane, 1) as orders:
        for number in range(2):
            await jobs.publish(lane, TENANT, f"{lane}-{number}", b"%d" % number)
        first = await next_within(orders, 20)
        first.park()
        second = await next_within(orders, 20)
        assert {first.body, second.body} == {b"0", b"1"}
        await second.done()
        first.unpark()
        await first.extend()
        await nothing_within(orders, LEASE_S / 2)
        await first.done()
        await nothing_within(orders, 2 * LEASE_S)
