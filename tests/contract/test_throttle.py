"""Limits: never more than they say over all processes, next to no less, and fairly between tenants."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from fairlead.adapters.throttle import LeasingThrottle
from fairlead.adapters.throttle.pool import FULL_S
from fairlead.domain.throttling import HOLD_MS, LEASE_MS, PERIOD_MS, TURN_MS, Limit
from fairlead.ports import Over, Passed
from tests.contract.conftest import Throttles

ANN, BOB = "tnt_ann", "tnt_bob"
PERIOD_S = PERIOD_MS / 1_000
STEP_S = 0.05


async def passed(throttle: LeasingThrottle, *limits: Limit, tenant: str = ANN) -> Passed:
    entered = await throttle.enter(limits, tenant)
    assert isinstance(entered, Passed), entered
    return entered


async def refused(throttle: LeasingThrottle, *limits: Limit, tenant: str = ANN) -> Over:
    entered = await throttle.enter(limits, tenant)
    assert isinstance(entered, Over), entered
    return entered


async def test_without_a_limit_everybody_passes(throttles: Throttles) -> None:
    throttle = await throttles.another()
    throttle.leave(await passed(throttle))


async def test_the_last_call_of_a_minute_passes_and_the_next_is_told_when_to_come_back(throttles: Throttles) -> None:
    throttle, limit = await throttles.another(), Limit(key=throttles.key, calls_per_minute=3)
    for _ in range(3):
        await passed(throttle, limit)
    over = await refused(throttle, limit)
    assert (over.limit, over.short_of) == (limit, "calls")
    assert PERIOD_S - 0.5 < over.wait_s < PERIOD_S + 0.5
    throttles.clock.forward(over.wait_s)
    await passed(throttle, limit)


async def test_two_processes_have_one_minute_between_them(throttles: Throttles) -> None:
    one, other = await throttles.another(), await throttles.another()
    limit = Limit(key=throttles.key, calls_per_minute=50)
    entered = await asyncio.gather(*(each.enter([limit], ANN) for each in (one, other) * 50))
    assert sum(isinstance(each, Passed) for each in entered) == 50


async def test_over_any_minute_no_more_and_hardly_less_than_the_limit_begins(throttles: Throttles) -> None:
    """Two processes with steady clocks of their own, an hour apart, which ask for more than there is all the time."""
    ours = await throttles.another()
    theirs = await throttles.another(steady=lambda: throttles.clock() + 3_600)
    limit, began = Limit(key=throttles.key, calls_per_minute=600), list[float]()
    start_s = throttles.clock()
    while throttles.clock() < start_s + 3 * PERIOD_S:
        for process in (ours, theirs):
            for _ in range(3):
                if isinstance(await process.enter([limit], ANN), Passed):
                    began.append(throttles.clock())
        throttles.clock.forward(STEP_S)
    windows = [sum(at <= each < at + PERIOD_S for each in began) for at in began]
    assert max(windows) == 600
    assert len(began) >= 3 * 600 * 0.99


async def test_places_are_free_again_when_calls_end_also_for_another_process(throttles: Throttles) -> None:
    one, other = await throttles.another(), await throttles.another()
    limit = Limit(key=throttles.key, max_concurrent=3)
    under_way = [await passed(one, limit), await passed(other, limit), await passed(one, limit)]
    assert (await refused(other, limit)).short_of == "places"
    assert (await refused(one, limit)).short_of == "places"
    one.leave(under_way[0])
    await one.keep()
    throttles.clock.forward(FULL_S)
    await passed(other, limit)
    await refused(one, limit)


async def test_at_no_time_are_there_more_calls_than_places(throttles: Throttles) -> None:
    limit, under_way, most, made = Limit(key=throttles.key, max_concurrent=5), 0, 0, 0

    async def work(process: LeasingThrottle) -> None:
        nonlocal under_way, most, made
        while made < 200:
            if isinstance(entered := await process.enter([limit], ANN), Over):
                await asyncio.sleep(0.001)
                continue
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.002)  # a call
            made, under_way = made + 1, under_way - 1
            process.leave(entered)

    processes = [await throttles.another() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        for process in processes * 8:
            tasks.create_task(work(process))
    assert 1 < most <= 5


async def test_places_of_a_process_that_died_go_to_others_after_their_lease(throttles: Throttles) -> None:
    dead, alive = await throttles.another(), await throttles.another()
    limit = Limit(key=throttles.key, max_concurrent=2)
    for _ in range(2):
        await passed(dead, limit)
    await refused(alive, limit)
    throttles.clock.forward(LEASE_MS / 1_000 + 0.1)
    for _ in range(2):
        await passed(alive, limit)


async def test_places_of_calls_under_way_are_kept_for_as_long_as_they_take(throttles: Throttles) -> None:
    busy, other = await throttles.another(), await throttles.another()
    limit = Limit(key=throttles.key, max_concurrent=1)
    call = await passed(busy, limit)
    for _ in range(5):
        throttles.clock.forward(LEASE_MS / 2_000)
        await busy.keep()
        await refused(other, limit)
    busy.leave(call)


async def test_one_that_was_given_up_for_dead_has_no_say_in_places_that_others_have_now(throttles: Throttles) -> None:
    asleep, awake = await throttles.another(), await throttles.another()
    limit = Limit(key=throttles.key, max_concurrent=1)
    call = await passed(asleep, limit)
    throttles.clock.forward(LEASE_MS / 1_000 + 0.1)
    await passed(awake, limit)
    await asleep.keep()
    asleep.leave(call)
    await refused(asleep, limit)
    third = await throttles.another()
    await refused(third, limit)


async def test_a_call_takes_of_all_its_limits_or_of_none(throttles: Throttles) -> None:
    throttle = await throttles.another()
    wide = Limit(key=f"{throttles.key}-wide", calls_per_minute=10)
    narrow = Limit(key=f"{throttles.key}-narrow", max_concurrent=1)
    call = await passed(throttle, wide, narrow)
    for _ in range(20):
        assert (await refused(throttle, wide, narrow)).limit == narrow
    throttle.leave(call)
    for _ in range(9):
        await passed(throttle, wide)
    await refused(throttle, wide)


async def test_what_was_taken_ahead_and_not_used_is_there_for_others(throttles: Throttles) -> None:
    one, other = await throttles.another(), await throttles.another()
    limit = Limit(key=throttles.key, calls_per_minute=4_000)
    for _ in range(500):
        await passed(one, limit)
    throttles.clock.forward(2 * HOLD_MS / 1_000)
    await one.keep()
    others = 0
    while isinstance(await other.enter([limit], ANN), Passed):
        others += 1
    assert others == 3_500


async def test_those_who_share_a_limit_have_equal_parts_however_much_one_asks_for(throttles: Throttles) -> None:
    processes = [await throttles.another() for _ in range(2)]
    limit = Limit(key=throttles.key, calls_per_minute=120, shared=True)
    flood = Counter(await _taken(throttles, processes, limit, {ANN: 20}, PERIOD_S))
    assert flood[ANN] >= 120
    both = Counter(await _taken(throttles, processes, limit, {ANN: 20, BOB: 1}, 2 * PERIOD_S))
    assert both[BOB] >= 0.9 * both[ANN]
    assert both[ANN] + both[BOB] >= 0.97 * 240


async def test_a_turn_that_nobody_takes_does_not_hold_the_others_up_for_long(throttles: Throttles) -> None:
    throttle, limit = await throttles.another(), Limit(key=throttles.key, calls_per_minute=2, shared=True)
    for _ in range(2):
        await passed(throttle, limit)
    over = await refused(throttle, limit, tenant=BOB)
    throttles.clock.forward(over.wait_s)
    await passed(throttle, limit)
    await refused(throttle, limit)
    throttles.clock.forward(TURN_MS / 1_000)
    await passed(throttle, limit)


async def _taken(
    throttles: Throttles, processes: list[LeasingThrottle], limit: Limit, orders: dict[str, int], seconds: float
) -> list[str]:
    """Who began, call by call, when each of a tenant's orders comes back as soon as it was told to, for ever."""
    until_s, began = throttles.clock() + seconds, list[str]()
    due = {(tenant, number): 0.0 for tenant, count in orders.items() for number in range(count)}
    while throttles.clock() < until_s:
        for order in [each for each, at_s in due.items() if at_s <= throttles.clock()]:
            entered = await processes[order[1] % 2].enter([limit], order[0])
            if isinstance(entered, Over):
                due[order] = throttles.clock() + entered.wait_s
            else:
                began.append(order[0])
        throttles.clock.forward(STEP_S)
    return began


@pytest.mark.parametrize("limit", [Limit(key="", calls_per_minute=1), Limit(key="", max_concurrent=1)])
async def test_limits_of_one_name_know_nothing_of_those_of_another(throttles: Throttles, limit: Limit) -> None:
    throttle = await throttles.another()
    await passed(throttle, replace(limit, key=f"{throttles.key}-a"))
    await passed(throttle, replace(limit, key=f"{throttles.key}-b"))
    await refused(throttle, replace(limit, key=f"{throttles.key}-a"))
