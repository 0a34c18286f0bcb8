"""What the gates before a call cost, how many calls pass limits and breaker at once, and how exact limits are."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, TenantId

from benchmarks.load import percentile
from fairlead.adapters.clock import SystemClock
from fairlead.adapters.engines import Embedded
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.adapters.throttle import LeasingThrottle, NatsLedgers
from fairlead.domain import breakers
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.runs.commands import CallSucceeded
from fairlead.domain.throttling import PERIOD_MS, Limit
from fairlead.handling.handler import Decider, Handler
from fairlead.workers.breaker_board import BreakerBoard
from fairlead.workers.gates import Asked, Entered, Gates

CALLS = 20_000
AT_ONCE = 64
A_MINUTE = 600
PROCESSES = 2
OVER_S = 2.0  # past the minute, in which nothing of the first may come twice
FINE = CallSucceeded(output={})
ASKED = Asked(
    tenant_id=TenantId("tnt_bench"),
    environment_id=EnvironmentId("env_main"),
    tool="bench.echo",
    effect=Effect.READ,
    timeout_s=5.0,
)
LIMITS: dict[str, Limit | None] = {
    "no limit": None,
    "60,000 a minute": Limit(key="wide", calls_per_minute=60_000),
    "600,000 a minute": Limit(key="wider", calls_per_minute=600_000),
    "64 at once": Limit(key="places", max_concurrent=AT_ONCE),
}


async def measure(folder: Path) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Each figure as it is found, with its name."""
    async with Embedded(folder) as engines:
        connection = await NatsConnection.open(engines.urls.nats)
        try:
            await ensure_streams(connection)
            for name, limit in LIMITS.items():
                async with gates(connection, [] if limit is None else [limit]) as passing:
                    if limit is None:
                        yield f"gates, {name}, one by one", await _one_by_one(passing)
                    yield f"gates, {name}, {AT_ONCE} at once", await _at_once(passing)
            yield f"{A_MINUTE} a minute, {PROCESSES} processes", await _exactness(engines.urls.nats)
        finally:
            await connection.close()


@asynccontextmanager
async def gates(connection: NatsConnection, limits: Sequence[Limit]) -> AsyncIterator[Gates]:
    async def limits_of(_: Asked) -> Sequence[Limit]:
        return limits

    log, clock = NatsLog(connection, Codec(EVENTS, UPCASTERS)), SystemClock()
    decider = Decider(initial=breakers.initial, evolve=breakers.evolve, decide=breakers.decide)
    handler = Handler(log, clock, {"breaker": decider})
    throttle = LeasingThrottle(NatsLedgers(connection))
    made = Gates(
        worker_id="bench",
        board=BreakerBoard(log, handler, clock),
        throttle=throttle,
        handler=handler,
        clock=clock,
        ids=UuidIds(),
        limits_of=limits_of,
    )
    following = asyncio.create_task(made.run())
    try:
        await made.leave(await _entered(made), FINE)
        yield made
    finally:
        following.cancel()
        await throttle.close()


async def _one_by_one(passing: Gates) -> dict[str, Any]:
    took_us: list[float] = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await passing.leave(await _entered(passing), FINE)
        took_us.append((time.perf_counter() - began) * 1e6)
    return {"call_us_p50": percentile(took_us, 50), "call_us_p99": percentile(took_us, 99)}


async def _at_once(passing: Gates) -> dict[str, Any]:
    """Each call gives the others a turn, and takes no time of its own."""
    took_us: list[float] = []
    left = CALLS

    async def calls() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            entered = await _entered(passing)
            gone_us = (time.perf_counter() - began) * 1e6
            await asyncio.sleep(0)
            began = time.perf_counter()
            await passing.leave(entered, FINE)
            took_us.append(gone_us + (time.perf_counter() - began) * 1e6)

    began = time.perf_counter()
    await asyncio.gather(*(calls() for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - began
    return {
        "calls_s": round(CALLS / seconds),
        "call_us_p50": percentile(took_us, 50),
        "call_us_p99": percentile(took_us, 99),
    }


async def _entered(passing: Gates) -> Entered:
    entered = await passing.enter(ASKED)
    assert isinstance(entered, Entered), "the counterpart answers"
    return entered


async def _exactness(nats_url: str) -> dict[str, Any]:
    """Over two minutes, of which the second begins when calls of the first no longer count."""
    seconds = 2 * PERIOD_MS / 1_000 + OVER_S
    takers = [await _taker(nats_url, seconds) for _ in range(PROCESSES)]
    said = await asyncio.gather(*(taker.communicate() for taker in takers))
    at_s = sorted(float(line) for answer, _ in said for line in answer.split())
    minute = PERIOD_MS / 1_000
    most = max(sum(start <= each < start + minute for each in at_s) for start in at_s[::10])
    until = at_s[0] + 2 * minute
    whole = sum(each < until for each in at_s)
    return {
        "most_in_a_minute": most,
        "in_two_minutes": whole,
        "off_percent": round(100 * (whole / (2 * A_MINUTE) - 1), 2),
        "by_process": [answer.count(b"\n") for answer, _ in said],
    }


async def _taker(nats_url: str, seconds: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.taker", nats_url, str(A_MINUTE), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
