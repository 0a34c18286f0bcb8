"""Rate and latency of steps, what each costs, and how far the read models are behind meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.load import STEPS, Finished, percentile, runs
from benchmarks.stack import Stack, stack
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.domain.envelope import Sequence as LogSequence

WARM_S = 4.0
LAG_EVERY_S = 0.05
MAX_LAG_S = 10.0


async def measure(folder: Path, in_flight: int, seconds: float, workers: int) -> dict[str, Any]:
    async with stack(folder, workers) as on, runs(on) as load, lags(on) as lagged:
        finished: list[Finished] = []
        running = asyncio.create_task(load.many(in_flight, time.monotonic() + WARM_S + seconds, finished))
        await asyncio.sleep(WARM_S)
        before, first = len(finished), machine.read(on.groups)
        lagged.clear()
        await asyncio.sleep(seconds)
        use, counted = machine.between(first, machine.read(on.groups)), finished[before:]
        lag_ms, memory = list(lagged), machine.pss_mb(on.groups)
        await running
        return {
            "in_flight": in_flight,
            **_summary(counted, use),
            "lag_ms_p50": percentile(lag_ms, 50),
            "lag_ms_p99": percentile(lag_ms, 99),
            "pss_mb": memory,
        }


@asynccontextmanager
async def lags(on: Stack) -> AsyncIterator[list[float]]:
    """Milliseconds until everything that the log held at a moment could be read, moment by moment."""
    url = on.core.settings.database_url
    assert url is not None, "the stack names its engines"
    found: list[float] = []
    async with Database(url, max_connections=1) as database:
        positions = Positions(database)
        tasks = [asyncio.create_task(positions.run()), asyncio.create_task(_sample(on, positions, found))]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()


async def _sample(on: Stack, positions: Positions, found: list[float]) -> None:
    while True:
        await asyncio.sleep(LAG_EVERY_S)
        began, last = time.perf_counter(), await on.core.log.last_sequence()
        await positions.reached(["run_board", "run_commits"], LogSequence(last), MAX_LAG_S)
        found.append((time.perf_counter() - began) * 1_000)


def _summary(finished: list[Finished], use: machine.Use) -> dict[str, Any]:
    steps = len(finished) * STEPS
    gaps = [
        (later - earlier).total_seconds() * 1_000
        for run in finished
        for earlier, later in zip(run.outcomes_at, run.outcomes_at[1:], strict=False)
    ]
    return {
        "steps_s": round(steps / use.seconds),
        "step_ms_p50": percentile(gaps, 50),
        "step_ms_p99": percentile(gaps, 99),
        "run_ms_p50": percentile([run.seconds * 1_000 for run in finished], 50),
        "run_ms_p99": percentile([run.seconds * 1_000 for run in finished], 99),
        "cpu_ms_per_step": use.cpu_ms_each(steps),
        "flushes_per_step": round(use.flushes / max(1, steps), 2),
        "others_cores": use.others_cores,
    }
