"""Budgets: how long a call waits for its reservation, and how many one tenant and many get a second, on a real log."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from fairlead_tenants.ids import PrincipalId, TenantId, WorkspaceId

from benchmarks.load import percentile
from fairlead.adapters.clock import SystemClock
from fairlead.adapters.engines import Embedded
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.commands import Reserve, SetBudget
from fairlead.domain.budgets.decide import decide
from fairlead.domain.budgets.scopes import EACH, Scope, Spender
from fairlead.domain.budgets.states import Closed, evolve, initial
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId, RunId, WorkflowId
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.budget_desk import BudgetDesk, Reserved
from fairlead.handling.handler import Cause, Decider, Handler

BUDGETS = Decider(initial=initial, evolve=evolve, decide=decide, finished=lambda state: isinstance(state, Closed))
CAP = 10**12
COST = Amount(usd_micros=1_000, tokens=500, calls=1)
LEASE = timedelta(seconds=60)
CELLS = (("one tenant, a call at a time", 1, 1), ("one tenant, 64 at once", 1, 64), ("64 tenants, 64 at once", 64, 64))


async def measure(folder: Path, seconds: float) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Two budgets concern each call: of the tenant by month, and of each run. Each call is settled before the next."""
    async with Embedded(folder) as engines:
        connection = await NatsConnection.open(engines.urls.nats)
        try:
            await ensure_streams(connection)
            log, clock = NatsLog(connection, Codec(EVENTS, UPCASTERS)), SystemClock()
            desk = BudgetDesk(BudgetBooks(log, Handler(log, clock, {"budget": BUDGETS}), clock), clock, UuidIds())
            for name, tenants, callers in CELLS:
                yield name, await _cell(desk, log, tenants, callers, seconds)
        finally:
            await connection.close()


async def _cell(desk: BudgetDesk, log: NatsLog, tenants: int, callers: int, seconds: float) -> dict[str, Any]:
    books = [TenantId(f"tnt_bench_{callers}_{tenants}_{number}") for number in range(tenants)]
    for tenant in books:
        await _capped(desk, tenant)
    before, began = await log.last_sequence(), time.perf_counter()
    waited: list[float] = []
    numbers = itertools.count(1)
    callings = (_calls(desk, books[each % tenants], each, numbers, waited, began + seconds) for each in range(callers))
    await asyncio.gather(*callings)
    took = time.perf_counter() - began
    await desk.written()
    return {
        "calls_s": round(len(waited) / took),
        "reserve_ms_p50": round(percentile(waited, 50), 2),
        "reserve_ms_p99": round(percentile(waited, 99), 2),
        "commits_per_call": round((await log.last_sequence() - before) / len(waited), 2),
    }


async def _calls(
    desk: BudgetDesk, tenant: TenantId, caller: int, numbers: "itertools.count[int]", waited: list[float], until: float
) -> None:
    spender = Spender(
        run_id=RunId(f"run_{caller}"),
        workflow_id=WorkflowId("wfl_1"),
        workspace_id=WorkspaceId("wsp_1"),
        principals=(PrincipalId("prn_1"),),
        what="bench/model",
    )
    while (now := time.perf_counter()) < until:
        wanted = Reserve(
            reservation_id=f"bench-{next(numbers)}", spender=spender, bound=COST, until=desk.clock.now() + LEASE
        )
        said = await desk.reserve(tenant, wanted)
        waited.append((time.perf_counter() - now) * 1_000)
        assert isinstance(said, Reserved), "there is enough"
        desk.settle(tenant, said.reservation_id, COST)


async def _capped(desk: BudgetDesk, tenant: TenantId) -> None:
    for name, scope in (("all", Scope(kind="tenant")), ("each", Scope(kind="run", id=EACH))):
        command = SetBudget(
            name=name,
            scope=scope,
            period="month",
            caps=Caps(usd_micros=CAP, tokens=CAP),
            at_cap="stop",
            by=PrincipalId("prn_1"),
            now=desk.clock.now(),
            reason="bench",
        )
        await desk.books.handle(tenant, command, Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{tenant}_{name}")))
