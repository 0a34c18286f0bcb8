"""How long work stands still when a process or an engine is killed with 64 runs in flight.

The runs are those of the tests of survival, in which also nothing may be lost or done twice; so it is here at the end.
"""

import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.settling import Settling, settling
from tests.support.stack import PLUGINS

ROLES = {"api": ["api"], "engine": ["engine"], "worker": ["worker"]}
VICTIMS = ("api", "engine", "worker", "nats", "postgres")
IN_FLIGHT = 64
SLOW_MS = 20


async def measure(folder: Path) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Each victim with what its death cost."""
    with _importable(PLUGINS):
        async with settling(folder, ROLES, SLOW_MS, random.Random(0)) as scene:  # noqa: S311  # the same work each time
            async with scene.at_work() as people:
                numbers, over = itertools.count(), asyncio.Event()
                for _ in range(IN_FLIGHT):
                    people.create_task(_one_after_the_other(scene, numbers, over))
                for victim in VICTIMS:
                    await _ended_more(scene, IN_FLIGHT)
                    yield victim, await _interrupt(scene, victim)
                over.set()
            assert await scene.happened() == scene.wanted(), "something was lost or done twice"


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


async def _interrupt(scene: Settling, victim: str) -> dict[str, Any]:
    witness, in_flight = scene.witness, set(scene.witness.under_way)
    began = time.monotonic()
    await scene.stack.kill(victim)
    await scene.stack.start(victim)
    back_s = time.monotonic() - began
    started = len(scene.runs)
    await witness.until(lambda: len(scene.runs) > started)
    next_start_s = time.monotonic() - began
    ended = len(witness.ended)
    await witness.until(lambda: len(witness.ended) > ended or in_flight <= set(witness.ended))
    next_end_s = time.monotonic() - began
    await witness.until(lambda: in_flight <= set(witness.ended))
    return {
        "in_flight": len(in_flight),
        "started_again_s": round(back_s, 1),
        "a_run_began_s": round(next_start_s, 1),
        "a_run_ended_s": round(next_end_s, 1),
        "all_in_flight_ended_s": round(time.monotonic() - began, 1),
    }


async def _one_after_the_other(scene: Settling, numbers: "itertools.count[int]", over: asyncio.Event) -> None:
    while not over.is_set():
        run_id = await scene.start(next(numbers))
        await scene.open_gate(run_id)
        await scene.witness.until(lambda run_id=run_id: run_id in scene.witness.ended)  # type: ignore[misc]


async def _ended_more(scene: Settling, count: int) -> None:
    goal = len(scene.witness.ended) + count
    await scene.witness.until(lambda: len(scene.witness.ended) >= goal)
