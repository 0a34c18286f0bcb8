"""Alarms: due once, at their time, unless they were cleared or set anew."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from fairlead.ports import Order, Timers
from tests.contract.conftest import LEASE_S

TENANT = "tnt_a"
TIMER = "tmr_1"


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def next_within(alarms: AsyncIterator[Order], time_s: float) -> Order:
    async with asyncio.timeout(time_s):
        return await anext(alarms)


async def nothing_within(alarms: AsyncIterator[Order], time_s: float) -> None:
    with pytest.raises(TimeoutError):
        await next_within(alarms, time_s)


async def test_an_alarm_rings_once_not_before_its_time_and_brings_its_body(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        due_at = soon(0.5)
        await timers.set(TENANT, TIMER, due_at, b"wake up")
        alarm = await next_within(alarms, 5)
        assert datetime.now(UTC) >= due_at
        assert (alarm.body, alarm.deliveries) == (b"wake up", 1)
        await alarm.done()
        await nothing_within(alarms, 2 * LEASE_S)


async def test_an_alarm_whose_time_has_passed_rings_at_once(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        await timers.set(TENANT, TIMER, soon(-60), b"late")
        await (await next_within(alarms, 5)).done()


async def test_setting_an_alarm_again_replaces_it(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        await timers.set(TENANT, TIMER, soon(0.3), b"first")
        await timers.set(TENANT, TIMER, soon(1.2), b"second")
        alarm = await next_within(alarms, 5)
        assert alarm.body == b"second"
        await alarm.done()
        await nothing_within(alarms, 0.5)


async def test_a_cleared_alarm_does_not_ring(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        await timers.set(TENANT, TIMER, soon(0.3), b"never")
        await timers.clear(TENANT, TIMER)
        await nothing_within(alarms, 1.5)


async def test_clearing_what_is_not_set_changes_nothing(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        await timers.set(TENANT, "tmr_other", soon(0.3), b"other")
        await timers.clear(TENANT, TIMER)
        alarm = await next_within(alarms, 5)
        assert alarm.body == b"other"
        await alarm.done()


async def test_an_alarm_that_nobody_heard_yet_can_still_be_cleared(timers: Timers) -> None:
    async with timers.due(1) as alarms:
        await timers.set(TENANT, "tmr_busy", soon(-1), b"busy")
        busy = await next_within(alarms, 5)  # the one place is taken
        await timers.set(TENANT, TIMER, soon(-1), b"never")
        await nothing_within(alarms, 0.4)
        await timers.clear(TENANT, TIMER)
        await busy.done()
        await nothing_within(alarms, 2 * LEASE_S)


async def test_clearing_one_alarm_leaves_the_others(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        await timers.set(TENANT, TIMER, soon(0.4), b"cleared")
        await timers.set(TENANT, "tmr_2", soon(0.4), b"mine")
        await timers.set("tnt_b", TIMER, soon(0.4), b"theirs")
        await timers.clear(TENANT, TIMER)
        rung = [await next_within(alarms, 5) for _ in range(2)]
        assert sorted(alarm.body for alarm in rung) == [b"mine", b"theirs"]
        for alarm in rung:
            await alarm.done()


async def test_an_alarm_that_was_heard_and_not_settled_rings_again(timers: Timers) -> None:
    async with timers.due(4) as alarms:
        await timers.set(TENANT, TIMER, soon(-1), b"again")
        await next_within(alarms, 5)
        again = await next_within(alarms, 10 * LEASE_S)
        assert (again.body, again.deliveries) == (b"again", 2)
        await again.done()
