"""Limits over real processes and a real engine: what two of them make together, and what one leaves that is killed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_streams import ensure_limits
from fairlead.adapters.throttle import LeasingThrottle, NatsLedgers
from fairlead.domain.throttling import LEASE_MS, Limit
from fairlead.ports import Over, Passed
from tests.support.clock import SteadyClock

REPOSITORY = Path(__file__).parents[2]


@asynccontextmanager
async def taker(nats_url: str, key: str, **limit: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that takes what it can get; it says a line for each call and keeps every place."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.taker", nats_url, key, *(f"{name}={value}" for name, value in limit.items())),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lines(process: asyncio.subprocess.Process, count: int) -> list[bytes]:
    assert process.stdout is not None, "asked for"
    async with asyncio.timeout(20):
        return [await process.stdout.readline() for _ in range(count)]


async def test_two_processes_make_exactly_as_many_calls_as_one_might(nats_url: str) -> None:
    key = "two-processes"
    async with (
        taker(nats_url, key, calls_per_minute=500) as one,
        taker(nats_url, key, calls_per_minute=500) as other,
    ):
        counts = []
        for process in (one, other):
            (said,) = await lines(process, 1)  # how many, once it was told to wait for longer than a while
            counts.append(int(said))
    assert sum(counts) == 500


async def test_a_killed_process_gives_its_places_back(nats_url: str) -> None:
    limit, clock = Limit(key="a-killed-process", max_concurrent=3), SteadyClock()
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_limits(connection)
        ledgers = NatsLedgers(connection, steady=clock, clock_again_s=float("inf"))
        await ledgers.now_ms()
        throttle = LeasingThrottle(ledgers, steady=clock)
        async with taker(nats_url, limit.key, max_concurrent=3) as other:
            assert await lines(other, 1) == [b"3\n"]
            other.kill()
            await other.wait()
        assert isinstance(await throttle.enter([limit], "tnt_1"), Over)
        clock.forward(LEASE_MS / 1_000 + 0.1)
        entered = [await throttle.enter([limit], "tnt_1") for _ in range(4)]
        assert [type(each) for each in entered] == [Passed, Passed, Passed, Over]
        await throttle.close()
    finally:
        await connection.close()
