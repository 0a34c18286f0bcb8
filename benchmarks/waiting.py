"""Memory that runs take which only wait."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.load import Runs, document, publish
from benchmarks.stack import Stack, stack

AT_ONCE = 32
SETTLE_S = 10.0
OURS = ("dev", "api", "engine", "worker")


async def measure(folder: Path, count: int) -> dict[str, Any]:
    async with stack(folder, workers=1) as on:
        load = Runs(on, await publish(on, _waits()))
        await _start(load, 50)
        await asyncio.sleep(SETTLE_S)
        before = machine.pss_mb(on.groups)
        await _start(load, count)
        await asyncio.sleep(SETTLE_S)
        after = machine.pss_mb(on.groups)
        more = {name: round(after[name] - before[name], 1) for name in after}
        return {"waiting_runs": count, "more_mb": more, "more_mb_ours": round(_ours(on, more), 1)}


def _waits() -> dict[str, Any]:
    return document("waits", [{"id": "go", "wait": {"signal": "go", "timeout_s": 3_000}}], "${ input.text }")


async def _start(load: Runs, count: int) -> None:
    left = iter(range(count))

    async def starter() -> None:
        for _ in left:
            await load.start()

    await asyncio.gather(*(starter() for _ in range(AT_ONCE)))


def _ours(on: Stack, more: dict[str, float]) -> float:
    return sum(more[name] for name in on.groups if name.split()[0] in OURS)
