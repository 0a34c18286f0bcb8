"""What a tenant that makes one call after the other notices of another that floods the workers with thousands."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.http import Http
from benchmarks.load import document, percentile, publish
from benchmarks.stack import Stack, stack
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.pepper import pepper
from fairlead.app import Core
from fairlead.domain.envelope import Commit, Recorded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.runs.events import RunCompleted, RunStarted, ToolCallCompleted
from fairlead.handling.founding import Founder

PLUGINS = Path(__file__).parent / "plugins"
CONNECTORS = {
    "FAIRLEAD_CONNECTORS": "basics,slow",
    "FAIRLEAD_TRUSTED_CONNECTORS": "slow",
    "PYTHONPATH": str(PLUGINS),
}
TOOLS = ("basics.echo", "slow.echo")
FLOOD_RUNS = 30  # of the flooding tenant, at any time
RUN_CALLS = 100  # of each of them, of which half are owed at once
PAUSE_S = 0.02  # of the quiet one, between calls
WARM_S = 3.0


class Tenant:
    """How long the first call of each run took, from the start of the run to its outcome, as the log has it."""

    def __init__(self, core: Core, http: Http) -> None:
        self.core = core
        self.http = http
        self.workflow_id = ""
        self.started: dict[str, datetime] = {}
        self.took_ms: list[float] = []
        self.done = 0
        self.ended = asyncio.Event()

    async def start(self) -> None:
        body = {"workflow_id": self.workflow_id, "input": {"text": "x"}}
        await self.http.send("POST", "/v1/runs", body, self.core.ids.new("key"))

    def hear(self, commit: Commit[Any]) -> None:
        for event in commit.events:
            if isinstance(event, RunStarted):
                self.started[commit.stream_id] = commit.at
            elif isinstance(event, ToolCallCompleted):
                self.done += 1
                if (started := self.started.pop(commit.stream_id, None)) is not None:
                    self.took_ms.append((commit.at - started).total_seconds() * 1_000)
            elif isinstance(event, RunCompleted):
                self.ended.set()


async def measure(folder: Path, tool: str, seconds: float, workers: int) -> dict[str, Any]:
    connectors = {
        "FAIRLEAD_CONNECTORS": "basics,slow",
        "FAIRLEAD_TRUSTED_CONNECTORS": "slow",
        "PYTHONPATH": str(PLUGINS),
    }
    async with stack(folder, workers, connectors) as on, tenants(on, folder, tool) as (quiet, flood):
        await _calls(quiet, WARM_S)
        quiet.took_ms.clear()
        await _calls(quiet, seconds)
        alone = list(quiet.took_ms)
        flooding = asyncio.create_task(_flood(flood))
        await asyncio.sleep(WARM_S)
        quiet.took_ms.clear()
        before, first, began = flood.done, machine.read(on.groups), time.monotonic()
        waiting = (await on.core.jobs.unfinished("tool")).count
        await _calls(quiet, seconds)
        use = machine.between(first, machine.read(on.groups))
        flooding.cancel()
        beside = list(quiet.took_ms)
        return {
            "tool": tool,
            "alone_ms_p50": percentile(alone, 50),
            "alone_ms_p95": percentile(alone, 95),
            "beside_ms_p50": percentile(beside, 50),
            "beside_ms_p95": percentile(beside, 95),
            "times_p95": round(percentile(beside, 95) / percentile(alone, 95), 2),
            "calls": len(beside),
            "flood_calls_s": round((flood.done - before) / (time.monotonic() - began)),
            "flood_waiting": waiting,
            "others_cores": use.others_cores,
        }


async def _calls(quiet: Tenant, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        quiet.ended.clear()
        await quiet.start()
        await quiet.ended.wait()
        await asyncio.sleep(PAUSE_S)


async def _flood(flood: Tenant) -> None:
    for _ in range(FLOOD_RUNS):
        await flood.start()
    while True:
        await flood.ended.wait()
        flood.ended.clear()
        await flood.start()


@asynccontextmanager
async def tenants(on: Stack, folder: Path, tool: str) -> AsyncIterator[tuple[Tenant, Tenant]]:
    core = on.core
    founder = Founder(core.handler, core.ids, core.clock)
    keys = ApiKeys(pepper(None, folder))
    found: dict[str, Tenant] = {}
    for name in ("quiet", "flood"):
        founded = await founder.found(name, f"{name}@example.com", name)
        key = await founder.issue_owner_key(founded, keys.new)
        found[founded.tenant_id] = Tenant(core, Http(on.url, key.text))
    watching = asyncio.create_task(_watch(core, found))
    one = {"id": "only", "call": tool, "with": {"text": "${ input.text }"}}
    items = {"in": f"${{ [{', '.join('1' * RUN_CALLS)}] }}", "max_items": RUN_CALLS, "concurrency": 50, "steps": [one]}
    rest = {"tools": [tool], "policy": {}, "limits": {"tool_calls": RUN_CALLS, "steps": 2 * RUN_CALLS}}
    workflows = [
        document("one-call", [one], "${ input.text }") | rest,
        document("many-calls", [{"id": "all", "each": items}], "${ input.text }") | rest,
    ]
    try:
        quiet, flood = found.values()
        for each, workflow in zip((quiet, flood), workflows, strict=True):
            each.workflow_id = await publish(each, workflow)
        yield quiet, flood
    finally:
        watching.cancel()
        for each in found.values():
            each.http.close()


async def _watch(core: Core, by_id: dict[str, Tenant]) -> None:
    async with core.log.follow(LogSequence(await core.log.last_sequence()), kinds=("run",)) as batches:
        async for batch in batches:
            for commit in (each.commit for each in batch if isinstance(each, Recorded)):
                by_id[commit.tenant_id].hear(commit)
