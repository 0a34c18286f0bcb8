"""Engines and workers in pairs share the work; what one held when it was killed, the other goes on with."""

import asyncio
import random
from pathlib import Path

import pytest

from fairlead.domain.runs.events import RunCompleted, ToolCallCompleted
from tests.support.settling import Settling, settling
from tests.support.stack import PLUGINS
from tests.support.witness import whole

ROLES = {
    "api": ["api"],
    "engine-1": ["engine"],
    "engine-2": ["engine"],
    "worker-1": ["worker"],
    "worker-2": ["worker"],
}
RUNS = 36
SLOW_MS = 60
WITHIN_S = 180.0


async def test_killing_one_of_two_loses_nothing_whichever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    async with settling(tmp_path, ROLES, SLOW_MS, random.Random(0)) as scene, asyncio.timeout(WITHIN_S):
        async with scene.at_work() as people:
            await asyncio.gather(*(_start(scene, number) for number in range(RUNS)))
            await scene.witness.until(lambda: scene.witness.seen >= 4 * RUNS)
            people.create_task(_kill_each_in_turn(scene))
            await scene.witness.until(lambda: len(scene.witness.ended) == RUNS)
        assert {type(ending) for ending in scene.witness.ended.values()} == {RunCompleted}
        assert await scene.happened() == scene.wanted()
        events = [event for recorded in await whole(scene.core.log) for event in recorded.commit.events]
        assert len({event.worker for event in events if isinstance(event, ToolCallCompleted)}) >= 2


async def _start(scene: Settling, number: int) -> None:
    await scene.open_gate(await scene.start(number, large=number % 3 == 0, ask=number % 7 == 0))


async def _kill_each_in_turn(scene: Settling) -> None:
    """The first ones stay dead until the second ones have moved everything on by a commit or so for each run."""
    await asyncio.gather(scene.stack.kill("engine-1"), scene.stack.kill("worker-1"))
    goal = scene.witness.seen + RUNS
    await scene.witness.until(lambda: scene.witness.seen >= goal)
    await asyncio.gather(scene.stack.start("engine-1"), scene.stack.start("worker-1"))
    await asyncio.gather(scene.stack.kill("engine-2"), scene.stack.kill("worker-2"))
