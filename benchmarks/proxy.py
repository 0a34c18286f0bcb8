"""What the way of a call through the proxy costs where nothing is waited for: log and orders in memory, no counterpart.

From one outcome of a run to the next: rights, policy, schemas, gates, the call, redaction, the record and what follows
from it, as a worker does it in production. Only the bytes do not leave the process.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from fairlead_sdk.contract import Call
from fairlead_tenants.ids import PrincipalId

from benchmarks import machine
from benchmarks.load import RESULT_CHARS, RUN_WITHIN_S, STEPS, five_steps, percentile
from fairlead import app
from fairlead.accounts import way_out
from fairlead.adapters.cel import CelExpressions
from fairlead.adapters.clock import SystemClock
from fairlead.adapters.content_keys import MemoryContentKeys
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.memory_jobs import MemoryJobs
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.memory_switches import MemorySwitches
from fairlead.adapters.memory_timers import MemoryTimers
from fairlead.adapters.plugins import load_connectors
from fairlead.adapters.shipped_prices import SELLERS, shipped_prices
from fairlead.adapters.throttle import LeasingThrottle, MemoryLedgers
from fairlead.deciders import deciders
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.connections.use import Lent, Use
from fairlead.domain.envelope import SYSTEM, Recorded, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import CommandId, RunId, WorkflowId
from fairlead.domain.runs.events import RunCompleted, ToolCallCompleted
from fairlead.domain.tenants.commands import CreateAgent
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.workflows import PublishWorkflow, workflow_id
from fairlead.handling.approval_links import ApprovalLinks
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.budget_desk import BudgetDesk
from fairlead.handling.capabilities import Capabilities, MarkKey
from fairlead.handling.contents import UNSEEN
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.founding import Founded, Founder
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.prices import PriceBook
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.starting import Asked, Starter
from fairlead.handling.switching import Brake, Switching
from fairlead.handling.tenant_routes import TenantRoutes
from fairlead.handling.tenant_tools import TenantTools
from fairlead.settings import Settings
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping
from fairlead.workers.remembering import Remembering
from fairlead.workers.spending import Spending

RUNS = 1_000  # of five calls
WARM_RUNS = 100
GIVEN = {"text": "x" * RESULT_CHARS}
TOOL = "basics.echo"


class Unlent:
    """For tools that use no account."""

    def lend(self, use: Use) -> Any:
        raise AssertionError(f"{use.tool} uses no account")

    async def account(self, use: Use) -> Any:
        raise AssertionError(f"{use.tool} uses no account")

    async def refused(self, use: Use, lent: Lent) -> bool:
        raise AssertionError(f"{use.tool} was lent {lent}")


async def measure(folder: Path) -> dict[str, Any]:
    """`cpu_ms_each` is this process's, per call, with its part of what a run costs besides."""
    core = _in_memory(folder)
    async with _at_work(core), _published(core) as start:
        for _ in range(WARM_RUNS):
            await start()
        first = machine.read({"worker": os.getpid()})
        took_ms = [each for _ in range(RUNS) for each in _between(await start())]
        use = machine.between(first, machine.read({"worker": os.getpid()}))
    plain_ms = await _in_process(core)
    return {
        "calls": len(took_ms),
        "call_ms_p50": percentile(took_ms, 50),
        "call_ms_p99": percentile(took_ms, 99),
        "in_process_ms_p50": round(plain_ms, 4),
        "on_top_ms_p50": round(percentile(took_ms, 50) - plain_ms, 2),
        "cpu_ms_each": round(use.cpu_s["worker"] * 1e3 / (RUNS * STEPS), 2),
        "others_cores": use.others_cores,
    }


def _between(outcomes_at: list[datetime]) -> list[float]:
    """The first call of a run is left out: its order goes through the lane."""
    return [(after - before).total_seconds() * 1e3 for before, after in pairwise(outcomes_at)]


async def _in_process(core: app.Core) -> float:
    tool = core.connectors.tool(TOOL, "tnt_bench")
    assert tool is not None, "it was asked for"
    assert isinstance(tool.input, type), "it is written in Python"
    arguments, call = tool.input(**GIVEN), Call(call_id="tcl_1", attempt=1, idempotency_key="tcl_1", settings={})
    took_ms: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        await tool.run(arguments, call)
        took_ms.append((time.perf_counter() - began) * 1e3)
    return sorted(took_ms)[len(took_ms) // 2]


def _in_memory(folder: Path) -> app.Core:
    """As `core.compose`, over engines that are not there."""
    settings, clock, ids = Settings(data_dir=folder), SystemClock(), UuidIds()
    log, connectors, expressions = MemoryLog(Codec(EVENTS, UPCASTERS)), load_connectors(["basics"]), CelExpressions()
    tools = TenantTools(log, connectors, clock)
    rulebook = Rulebook(log, tools, expressions)
    keys = [MarkKey("k1", b"m" * 32)]
    capabilities = Capabilities(keys, rulebook, clock)
    jobs, timers = MemoryJobs(), MemoryTimers(clock)
    dispatch = Dispatch(jobs, timers, capabilities)
    handler = Handler(log, clock, deciders(rulebook), {"run": dispatch.run_appended})
    switches = MemorySwitches()
    brake = Brake(switches, clock)
    return app.Core(
        settings=settings,
        clock=clock,
        ids=ids,
        log=log,
        sealed_log=log,
        masked_log=log,
        contents=UNSEEN,
        content_keys=MemoryContentKeys(),
        copies=log,
        removal=log,
        jobs=jobs,
        timers=timers,
        connectors=connectors,
        tools=tools,
        expressions=expressions,
        rulebook=rulebook,
        capabilities=capabilities,
        links=ApprovalLinks(keys),
        dispatch=dispatch,
        handler=handler,
        starter=Starter(log, handler, rulebook, brake, clock),
        budgets=BudgetBooks(log, handler, clock),
        prices=PriceBook(log, clock, shipped_prices(), SELLERS),
        routes=TenantRoutes(log, clock),
        outbound=way_out(settings),
        throttle=LeasingThrottle(MemoryLedgers()),
        results=MemoryResults(),
        switches=switches,
        switching=Switching(log, handler, switches),
        brake=brake,
    )


@asynccontextmanager
async def _at_work(core: app.Core) -> AsyncIterator[None]:
    remembering = Remembering(core.results, core.clock)
    caller = Caller(core.tools, Equipping(Unlent(), core.outbound, core.brake), remembering)
    spending = Spending(BudgetDesk(core.budgets, core.clock, core.ids), core.clock)
    working = asyncio.create_task(app.tool_worker(core, "tool", "bench", caller, spending).run())
    try:
        yield
    finally:
        working.cancel()


@asynccontextmanager
async def _published(core: app.Core) -> AsyncIterator[Any]:
    """Starts a run and waits for its end; when each outcome of it was recorded."""
    founded = await Founder(core.handler, core.ids, core.clock).found("bench", "bench@example.com", "bench")
    workflow = await _publish(core, founded)
    ended: dict[str, asyncio.Future[list[datetime]]] = {}
    watching = asyncio.create_task(_watch(core, ended))

    async def start() -> list[datetime]:
        run_id = RunId(core.ids.new("run"))
        end: asyncio.Future[list[datetime]] = asyncio.get_running_loop().create_future()
        ended[run_id] = end
        holder = (await core.handler.load(_tenant(founded))).state
        asked = Asked(run_id=run_id, workflow_id=workflow, input=GIVEN, environment_id=founded.live_environment_id)
        command = await core.starter.start(principal_of(holder, founded.owner_id), asked)
        await _tell(core, StreamRef(founded.tenant_id, "run", run_id), command)
        async with asyncio.timeout(RUN_WITHIN_S):
            return await end

    try:
        yield start
    finally:
        watching.cancel()


async def _publish(core: app.Core, founded: Founded) -> WorkflowId:
    state, document = (await core.handler.load(_tenant(founded))).state, five_steps()
    workspace_id = next(iter(state.workspaces))
    workflow = workflow_id(founded.tenant_id, workspace_id, document["name"])
    agent = CreateAgent(
        by=principal_of(state, founded.owner_id),
        principal_id=PrincipalId(core.ids.new("prn")),
        name="bench agent",
        workflow_id=workflow,
        workspace_id=workspace_id,
        now=core.clock.now(),
    )
    await _tell(core, _tenant(founded), agent)
    published = PublishWorkflow(
        workspace_id=workspace_id,
        name=document["name"],
        document=document,
        reason="benchmark",
        agent_principal_id=agent.principal_id,
        tool_versions={},
    )
    await _tell(core, StreamRef(founded.tenant_id, "workflow", workflow), published)
    return workflow


async def _watch(core: app.Core, ended: dict[str, "asyncio.Future[list[datetime]]"]) -> None:
    outcomes_at: dict[str, list[datetime]] = {}
    async with core.log.follow(LogSequence(0), kinds=("run",)) as batches:
        async for batch in batches:
            for commit in (each.commit for each in batch if isinstance(each, Recorded)):
                for event in commit.events:
                    if isinstance(event, ToolCallCompleted):
                        outcomes_at.setdefault(commit.stream_id, []).append(commit.at)
                    elif isinstance(event, RunCompleted):
                        ended.pop(commit.stream_id).set_result(outcomes_at.pop(commit.stream_id))


async def _tell(core: app.Core, stream: StreamRef, command: Any) -> None:
    await core.handler.handle(stream, command, Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd"))))


def _tenant(founded: Founded) -> StreamRef:
    return StreamRef(founded.tenant_id, "tenant", founded.tenant_id)
