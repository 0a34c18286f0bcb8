"""Each port twice: in memory and on a real nats-server. A suite asks for the port and does not know which it got."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import wraps
from inspect import iscoroutinefunction
from itertools import count
from pathlib import Path

import pytest
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.memory_jobs import MemoryJobs
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.memory_timers import MemoryTimers
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_jobs import NatsJobs
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_results import NatsResults
from fairlead.adapters.nats_streams import (
    TIMERS,
    ensure_events,
    ensure_jobs,
    ensure_limits,
    ensure_results,
    ensure_streams,
    events_stream,
)
from fairlead.adapters.nats_timers import NatsTimers
from fairlead.adapters.throttle import LeasingThrottle, MemoryLedgers, NatsLedgers
from fairlead.adapters.throttle.ledgers import Ledgers
from fairlead.domain.results import ResultKey
from fairlead.ports import Jobs, Log, Results, Timers
from tests.support.clock import SteadyClock
from tests.support.commits import NOTES

HERE = Path(__file__).parent
PATIENCE_S = 60.0
FAILOVER_S = 1.0
LEASE_S = 0.5

_shards = count(100)
_lanes = count(1)


class Logs(Struct, frozen=True):
    """One log as several processes see it."""

    here: Log
    elsewhere: Callable[[], Awaitable[Log]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that waits for what never comes fails instead of standing still."""
    for item in items:
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj) and HERE in item.path.parents:
            item.obj = _bounded(item.obj)


def _bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def bounded(*args: object, **kwargs: object) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test(*args, **kwargs)

    return bounded


@pytest.fixture(params=["memory", "jetstream"])
def server(request: pytest.FixtureRequest) -> str | None:
    """Where the real engine is, None for the one in memory."""
    return request.getfixturevalue("nats_url") if request.param == "jetstream" else None


@pytest.fixture
async def logs(server: str | None) -> AsyncIterator[Logs]:
    if server is None:
        yield _in_memory()
        return
    shard = next(_shards)
    async with AsyncExitStack() as at_end:
        connection = await _connection(server, at_end)
        await ensure_streams(connection)
        await ensure_events(connection, shard)
        at_end.push_async_callback(connection.api, f"STREAM.DELETE.{events_stream(shard)}")

        async def elsewhere() -> Log:
            return NatsLog(await _connection(server, at_end), NOTES, shard, FAILOVER_S)

        yield Logs(NatsLog(connection, NOTES, shard, FAILOVER_S), elsewhere)


@pytest.fixture
def log(logs: Logs) -> Log:
    return logs.here


@pytest.fixture
async def jobs(server: str | None) -> AsyncIterator[Jobs]:
    if server is None:
        yield MemoryJobs(LEASE_S)
        return
    async with AsyncExitStack() as at_end:
        connection = await _connection(server, at_end)
        await ensure_jobs(connection)
        yield NatsJobs(connection, LEASE_S)


@pytest.fixture
def lane() -> str:
    return f"lane{next(_lanes)}"


@pytest.fixture
async def timers(server: str | None) -> AsyncIterator[Timers]:
    if server is None:
        yield MemoryTimers(SystemClock(), LEASE_S)
        return
    async with AsyncExitStack() as at_end:
        connection = await _connection(server, at_end)
        await ensure_streams(connection)
        at_end.push_async_callback(connection.api, f"STREAM.DELETE.{TIMERS}")
        yield NatsTimers(connection, LEASE_S)


class Throttles(Struct, frozen=True):
    """The same limits as several processes see them, and the time they all have. `key` names limits of this test."""

    clock: SteadyClock
    key: str
    another: Callable[..., Awaitable[LeasingThrottle]]


@pytest.fixture
async def throttles(server: str | None) -> AsyncIterator[Throttles]:
    clock = SteadyClock()
    in_memory = MemoryLedgers(clock)
    async with AsyncExitStack() as at_end:

        async def another(steady: Callable[[], float] = clock) -> LeasingThrottle:
            ledgers: Ledgers = in_memory
            if server is not None:
                connection = await _connection(server, at_end)
                await ensure_limits(connection)
                ledgers = NatsLedgers(connection, steady=steady, clock_again_s=float("inf"))
                await ledgers.now_ms()  # once, before this clock goes ahead of the engine's
            throttle = LeasingThrottle(ledgers, steady=steady)
            at_end.push_async_callback(throttle.close)
            return throttle

        yield Throttles(clock, f"limit-{next(_lanes)}", another)


class Caches(Struct, frozen=True):
    """The same results as several processes see them; `key` makes a question one of this test's own tenant."""

    number: int
    another: Callable[[], Awaitable[Results]]

    def key(self, key: ResultKey) -> ResultKey:
        return replace(key, tenant_id=TenantId(f"{key.tenant_id}_{self.number}"))


@pytest.fixture
async def caches(server: str | None) -> AsyncIterator[Caches]:
    in_memory = MemoryResults()
    async with AsyncExitStack() as at_end:

        async def another() -> Results:
            if server is None:
                return in_memory
            connection = await _connection(server, at_end)
            await ensure_results(connection)
            return NatsResults(connection)

        yield Caches(next(_lanes), another)


def _in_memory() -> Logs:
    log = MemoryLog(NOTES)

    async def elsewhere() -> Log:
        return log

    return Logs(log, elsewhere)


async def _connection(url: str, at_end: AsyncExitStack) -> NatsConnection:
    connection = await NatsConnection.open(url)
    at_end.push_async_callback(connection.close)
    return connection
