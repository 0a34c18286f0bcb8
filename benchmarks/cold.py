"""From the command to an answer: an empty data folder, then the same folder again."""

from pathlib import Path
from typing import Any

from benchmarks.stack import stack

WORKERS = 2  # what `fairlead dev` starts when it is told nothing


async def measure(folder: Path) -> dict[str, Any]:
    async with stack(folder, WORKERS) as first:
        cold_s = first.ready_s
    async with stack(folder, WORKERS) as again:
        return {"ready_s_cold": round(cold_s, 2), "ready_s_again": round(again.ready_s, 2)}
