"""How long work stands still when a process or an engine is killed with 64 runs in flight. Printed, not asserted: the
machine decides. Asserted is that all of it goes on, and that nothing happens twice."""

import asyncio
import itertools
import random
import time
from pathlib import Path

import pytest

from fairlead.domain.runs.events import RunCompleted
from tests.support.settling import Settling, settling
from tests.support.stack import PLUGINS

ROLES = {"api": ["api"], "engine": ["engine"], "worker": ["worker"]}
VICTIMS = ("api", "engine", "worker", "nats", "postgres")
IN_FLIGHT = 64
SLOW_MS = 20
WITHIN_S = 240.0


async def test_work_goes_on_after_each_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    async with settling(tmp_path, ROLES, SLOW_MS, random.Random(0)) as scene, asyncio.timeout(WITHIN_S):
        async with scene.at_work() as people:
            numbers, over = itertools.count(), asyncio.Event()
            for _ in range(IN_FLIGHT):
                people.create_task(_one_after_the_other(scene, numbers, over))
            for victim in VICTIMS:
                await _ended_more(scene, IN_FLIGHT)
                await _interrupt(scene, victim)
            over.set()
        assert {type(ending) for ending in scene.witness.ended.values()} == {RunCompleted}
        assert await scene.happened() == scene.wanted()


async def _interrupt(scene: Settling, victim: str) -> None:
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
    all_s = time.monotonic() - began
    print(  # noqa: T201  # the measurement is the point
        f"{victim:8} killed with {len(in_flight)} in flight: started again after {back_s:.1f} s, a run began after "
        f"{next_start_s:.1f} s, a run ended after {next_end_s:.1f} s, all that were in flight after {all_s:.1f} s"
    )


async def _one_after_the_other(scene: Settling, numbers: "itertools.count[int]", over: asyncio.Event) -> None:
    while not over.is_set():
        run_id = await scene.start(next(numbers))
        await scene.open_gate(run_id)
        await scene.witness.until(lambda run_id=run_id: run_id in scene.witness.ended)  # type: ignore[misc]


async def _ended_more(scene: Settling, count: int) -> None:
    goal = len(scene.witness.ended) + count
    await scene.witness.until(lambda: len(scene.witness.ended) >= goal)
