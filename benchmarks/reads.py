"""What is read from the log and the read models: export, and rebuilding while writers go on."""

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import Finished, Runs, runs
from benchmarks.stack import Stack, stack
from fairlead.operating import rebuild_projections

IN_FLIGHT = 32
REBUILT = "run_board"  # the projection with the most to do


async def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Fills a tenant for `seconds`, exports all of it, then rebuilds while runs go on."""
    async with stack(folder, workers=1) as on, runs(on) as load:
        since = datetime.now(UTC) - timedelta(minutes=1)
        await load.many(IN_FLIGHT, time.monotonic() + seconds, [])
        api = psutil.Process(on.groups["api"])
        return {
            "events": load.events,
            **await _export(on, api, since, "ndjson"),
            **await _export(on, api, since, "csv"),
            **await _rebuild(on, load),
        }


async def _export(on: Stack, api: psutil.Process, since: datetime, kind: str) -> dict[str, Any]:
    """Everything of the tenant in one answer. A line is an event, except the first of CSV."""
    before_mb, began = _rss_mb(api), time.monotonic()
    highest_mb = [before_mb]
    watching = asyncio.create_task(_watch(api, highest_mb))
    size, lines = await on.http.download(f"/v1/exports/events?format={kind}&from={since:%Y-%m-%dT%H:%M:%SZ}")
    took_s = time.monotonic() - began
    watching.cancel()
    return {
        f"{kind}_events_s": round(lines / took_s),
        f"{kind}_mb_s": round(size / 1e6 / took_s, 1),
        f"{kind}_growth_mb": round(max(highest_mb) - before_mb, 1),
    }


async def _rebuild(on: Stack, load: Runs) -> dict[str, Any]:
    """From the first commit to the new tables in place, with every event of the log counted."""
    finished: list[Finished] = []
    writing = asyncio.create_task(load.many(1, math.inf, finished))
    began = time.monotonic()
    await rebuild_projections(on.core.settings, [REBUILT], lambda *_: None)
    rebuild_s = time.monotonic() - began
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    return {
        "rebuild_events_s": round(load.events / rebuild_s),
        "rebuild_s": round(rebuild_s, 2),
        "runs_meanwhile": len(finished),
    }


async def _watch(process: psutil.Process, found_mb: list[float]) -> None:
    while True:
        found_mb.append(_rss_mb(process))
        await asyncio.sleep(0.02)


def _rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20
