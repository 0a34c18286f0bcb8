"""Breakers on the real log and in the read model: ten rivals for one probe, and rows that say what the history says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, TenantId
from msgspec import structs

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.adapters.throttle import LeasingThrottle, MemoryLedgers
from fairlead.consumers import breakers
from fairlead.consumers.projection_runner import ProjectionRunner
from fairlead.consumers.rebuild import rebuild
from fairlead.domain import breakers as b
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import StreamRef
from fairlead.domain.outages import LEAST_FAILURES
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.handling.handler import Decider, Handler
from fairlead.workers.breaker_board import BreakerBoard
from fairlead.workers.gates import Asked, Entered, Gates, PutBack
from tests.support.clock import T0, SteadyClock
from tests.support.database import DatabaseUrls, columns
from tests.support.histories import CODEC, Writer
from tests.support.platform import running

RIVALS = 10
LIVE = EnvironmentId("env_main")
BREAKERS = Decider(initial=b.initial, evolve=b.evolve, decide=b.decide)
GONE = CallErred(error_class="timeout", code="timeout", message="no answer")


async def no_limits(_: Asked) -> list[Any]:
    return []


@asynccontextmanager
async def rivals(nats_url: str, steady: SteadyClock) -> AsyncIterator[list[Gates]]:
    """Each with a connection, a log and a handler of its own, as processes have."""
    async with AsyncExitStack() as at_end:
        made = []
        for number in range(RIVALS):
            connection = await NatsConnection.open(nats_url)
            at_end.push_async_callback(connection.close)
            if number == 0:
                await ensure_streams(connection)
            log, clock = NatsLog(connection, Codec(EVENTS, UPCASTERS)), SystemClock()
            handler = Handler(log, clock, {"breaker": BREAKERS})
            gates = Gates(
                worker_id=f"w{number}",
                board=BreakerBoard(log, handler, clock, steady),
                throttle=LeasingThrottle(MemoryLedgers()),
                handler=handler,
                clock=clock,
                ids=UuidIds(),
                limits_of=no_limits,
                steady=steady,
            )
            made.append(gates)
        await at_end.enter_async_context(running(*(gates.run() for gates in made)))
        yield made


async def test_of_ten_processes_exactly_one_probes_each_time_it_has_cooled(nats_url: str) -> None:
    steady = SteadyClock()
    asked = Asked(
        tenant_id=TenantId("tnt_rivals"),
        environment_id=LIVE,
        tool="bills.pay",
        effect=Effect.READ,
        timeout_s=5.0,
    )
    async with asyncio.timeout(30), rivals(nats_url, steady) as all_of_them:
        for _ in range(LEAST_FAILURES):
            await all_of_them[0].leave(await _entered(all_of_them[0], asked), GONE)
        last = all_of_them[0]
        for outcome in (GONE, CallSucceeded(output={})):
            for gates in all_of_them:
                await _held(gates, asked)
            steady.forward(b.MAX_COOLING_S)
            answers = await asyncio.gather(*(gates.enter(asked) for gates in all_of_them), return_exceptions=True)
            (winner,) = [number for number, answer in enumerate(answers) if isinstance(answer, Entered)]
            assert sum(isinstance(answer, PutBack) for answer in answers) == RIVALS - 1
            probe = answers[winner]
            assert isinstance(probe, Entered)
            await all_of_them[winner].leave(probe, outcome)
            last = all_of_them[winner]
        await _entered(last, asked)


async def _entered(gates: Gates, asked: Asked) -> Entered:
    entered = await gates.enter(asked)
    assert isinstance(entered, Entered)
    return entered


async def _held(gates: Gates, asked: Asked) -> None:
    """As soon as this process has heard of the opening."""
    while True:
        try:
            entered = await gates.enter(asked)
        except PutBack:
            return
        assert isinstance(entered, Entered)
        await asyncio.sleep(0.01)


# --- the read model ---------------------------------------------------------------------------------------------------

ALICE, BOB = "tnt_alice", "tnt_bob"
BREAKER = StreamRef(TenantId(ALICE), "breaker", "brk_main-bills")
BOBS = StreamRef(TenantId(BOB), "breaker", "brk_main-bills")
OPENED = b.BreakerOpened(
    environment_id=LIVE,
    connector="bills",
    opening=1,
    in_a_row=1,
    failures=5,
    calls=6,
    error_class="timeout",
    code="time\x00out",
    cooling_s=5.0,
    probe_at=T0,
)
PROBING = b.BreakerProbing(probe=1, worker="w1", lease_s=10.0)
CLOSED = b.BreakerClosed(by="probe", forget_at=T0)
_ROWS = "SELECT state, openings, closed_by, reason FROM breakers"
_WHOLE = "SELECT t::text AS row FROM breakers AS t ORDER BY 1"
REACHED_WITHIN_S = 20.0


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ([OPENED], ("open", 1, None, None)),
        ([OPENED, PROBING], ("half_open", 1, None, None)),
        ([OPENED, PROBING, CLOSED], ("closed", 1, "probe", None)),
        ([OPENED, b.BreakerClosed(by="person", forget_at=T0, reason="x\x00")], ("closed", 1, "person", "x\ufffd")),
    ],
)
async def test_the_rows_agree_with_the_history(engine_database: Database, facts: list[Any], shown: Any) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    for fact in facts:
        await writer.append(BREAKER, fact)
    async with engine_database.tenant(ALICE) as tx:
        recorded = await log.read(BREAKER)
        await breakers.project(recorded, tx)
        await breakers.project(recorded, tx)  # delivered twice, it says the same
        (row,) = await tx.rows(_ROWS, None, columns)
    assert tuple(row.values()) == shown
    async with engine_database.tenant(BOB) as tx:
        assert await tx.rows(_ROWS, None, columns) == []


async def test_rows_that_are_built_anew_are_those_that_were_there(
    database: DatabaseUrls, engine_database: Database, app_database: Database
) -> None:
    log, positions = MemoryLog(CODEC), Positions(app_database)
    writer = Writer(log)
    again = structs.replace(OPENED, opening=2, in_a_row=2, error_class="transient", connection_id="con_1")
    await writer.write(BREAKER, (OPENED,), (PROBING,), (CLOSED,), (again,))
    last = await writer.write(BOBS, (OPENED,), (PROBING,))
    async with (
        asyncio.timeout(REACHED_WITHIN_S),
        Database(database.owner) as owner,
        running(positions.run(), ProjectionRunner(log, engine_database, (breakers,)).run()),
    ):
        assert await positions.reached([breakers.NAME], last, REACHED_WITHIN_S)
        live = [await _whole(app_database, tenant) for tenant in (ALICE, BOB)]
        standing = await rebuild(log, owner, breakers)
        assert [await _whole(app_database, tenant) for tenant in (ALICE, BOB)] == live
    assert (standing.build, standing.parked, [len(rows) for rows in live]) == (2, 0, [1, 1])


async def _whole(database: Database, tenant: str) -> list[dict[str, Any]]:
    async with database.read(tenant) as tx:
        return await tx.rows(_WHOLE, None, columns)
