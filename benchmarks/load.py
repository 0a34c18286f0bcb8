"""Runs of five tool steps, started over HTTP and watched on the log."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, get_args

from msgspec import Struct

from benchmarks.http import Http
from benchmarks.stack import Stack
from fairlead.domain.envelope import Recorded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.runs.events import RunCompleted, RunEnding, ToolCallCompleted

STEPS = 5
RESULT_CHARS = 286  # with its frame, 300 bytes of JSON
RUN_WITHIN_S = 60.0
_ENDINGS = frozenset(get_args(RunEnding))
_TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_RULE = {
    "id": "short",
    "tools": ["basics.echo"],
    "when": "size(args.text) < 1000 && run.calls['basics.echo'] <= 5",
    "verdict": "allow",
    "reason": "short texts are harmless",
}


def document(name: str, steps: list[dict[str, Any]], result: str) -> dict[str, Any]:
    """A workflow with limits and a policy."""
    return {
        "fairlead": 1,
        "name": name,
        "goal": "Give a text on.",
        "owner": "benchmark",
        "trigger": {"kind": "api"},
        "input": _TEXT,
        "output": _TEXT,
        "done_when": ["the text came through"],
        "fail_when": ["a step fails"],
        "out_of_scope": ["anything else"],
        "tools": ["basics.echo"],
        "forbidden": [],
        "writes": [],
        "planner": "steps",
        "limits": {"tool_calls": 10, "steps": 10, "deadline_s": 3600},
        "policy": {"rules": [_RULE]},
        "steps": steps,
        "result": {"text": result},
    }


def five_steps() -> dict[str, Any]:
    """Each step gives on what the one before gave; a rule looks at every call."""
    given = ["${ input.text }", *(f"${{ steps.step{number}.output.text }}" for number in range(STEPS))]
    steps = [{"id": f"step{number}", "call": "basics.echo", "with": {"text": given[number]}} for number in range(STEPS)]
    return document("five-steps", steps, given[-1])


class Finished(Struct, frozen=True):
    """When each outcome of a run was recorded, and how long the run took for who started it."""

    outcomes_at: list[datetime]
    seconds: float


class Runs:
    """Starts runs and learns of their ends from the log."""

    def __init__(self, on: Stack, workflow_id: str) -> None:
        self._on = on
        self._body = {"workflow_id": workflow_id, "input": {"text": "x" * RESULT_CHARS}}
        self._ended: dict[str, asyncio.Future[type]] = {}
        self._early: dict[str, type] = {}  # the log may tell of an end before the answer to the start is read
        self._outcomes: defaultdict[str, list[datetime]] = defaultdict(list)
        self.events = 0

    async def start(self) -> str:
        """Durable when it returns."""
        key = self._on.core.ids.new("key")
        run_id: str = (await self._on.http.send("POST", "/v1/runs", self._body, key))["run_id"]
        return run_id

    async def one(self) -> Finished:
        began = time.perf_counter()
        run_id = await self.start()
        ending = self._early.pop(run_id, None)
        if ending is None:
            ended = self._ended[run_id] = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(RUN_WITHIN_S):
                ending = await ended
        assert ending is RunCompleted, f"a run ended as {ending}"
        return Finished(self._outcomes.pop(run_id), time.perf_counter() - began)

    async def many(self, in_flight: int, until: float, finished: list[Finished]) -> None:
        """A closed loop until `until` on the monotonic clock."""

        async def loop() -> None:
            while time.monotonic() < until:
                finished.append(await self.one())

        await asyncio.gather(*(loop() for _ in range(in_flight)))

    async def watch(self, after: LogSequence) -> None:
        async with self._on.core.sealed_log.follow(after, kinds=("run",)) as batches:
            async for batch in batches:
                for commit in (each.commit for each in batch if isinstance(each, Recorded)):
                    self.events += len(commit.events)
                    for event in commit.events:
                        if type(event) is ToolCallCompleted:
                            self._outcomes[commit.stream_id].append(commit.at)
                        elif type(event) in _ENDINGS:
                            self._end(commit.stream_id, type(event))

    def _end(self, run_id: str, ending: type) -> None:
        if (ended := self._ended.pop(run_id, None)) is not None:
            ended.set_result(ending)
        else:
            self._early[run_id] = ending


class Calls(Protocol):
    """Whoever has a way to the API."""

    @property
    def http(self) -> Http: ...


async def publish(on: Calls, workflow: dict[str, Any]) -> str:
    path = f"/v1/workflows/{workflow['name']}?reason=benchmark"
    workflow_id: str = (await on.http.send("PUT", path, workflow))["workflow_id"]
    return workflow_id


@asynccontextmanager
async def runs(on: Stack) -> AsyncIterator[Runs]:
    """Ready to be started: one has gone all the way."""
    found = Runs(on, await publish(on, five_steps()))
    watching = asyncio.create_task(found.watch(await on.core.log.last_sequence()))
    try:
        await found.one()
        yield found
    finally:
        watching.cancel()


def percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 2) if ordered else 0.0
