"""How long a policy takes from being published until every process goes by it, while runs go on."""

import asyncio
import math
from pathlib import Path
from typing import Any

from benchmarks.load import Finished, percentile, runs
from benchmarks.stack import Stack, stack

IN_FLIGHT = 8
PUBLICATIONS = 5
SETTLED_AFTER_S = 2.5  # judged under it everywhere, and folded into what the answer is read from


async def measure(folder: Path) -> dict[str, Any]:
    """Each version adds other points of risk to every call, so that each judgement says which one it went by."""
    async with stack(folder, workers=2) as on, runs(on) as load:
        finished: list[Finished] = []
        loading = asyncio.create_task(load.many(IN_FLIGHT, math.inf, finished))
        await asyncio.sleep(SETTLED_AFTER_S)
        found = [await _published(on, points) for points in range(1, PUBLICATIONS + 1)]
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    last = [each["last_otherwise_after_ms"] for each in found]
    first = [each["first_after_ms"] for each in found if each["first_after_ms"] is not None]
    return {
        "publications": PUBLICATIONS,
        "judged": sum(each["judged_under_it"] + each["judged_otherwise"] for each in found),
        "first_under_it_ms_p50": percentile(first, 50),
        "last_otherwise_ms_p50": percentile(last, 50),
        "last_otherwise_ms_max": max(last),
    }


async def _published(on: Stack, points: int) -> Any:
    rule = {"id": "points", "risk": points, "reason": "to be seen"}
    document = {"fairlead_policy": 1, "rules": [rule]}
    await on.http.send("PUT", "/v1/policies/tenant?reason=benchmark", document)
    await asyncio.sleep(SETTLED_AFTER_S)
    return await on.http.send("GET", "/v1/policies/tenant/effect", None)
