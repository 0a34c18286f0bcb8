"""Two processes, two hundred calls, one small cap: it is not passed, and what a killed process held comes back."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.domain.budgets import events as e
from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.commands import SetBudget
from fairlead.domain.budgets.decide import page_stream
from fairlead.domain.budgets.scopes import Scope
from fairlead.domain.budgets.states import Book
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.handling.budget_desk import BudgetDesk, Reserved
from fairlead.handling.handler import Cause
from tests.support.clock import AheadClock
from tests.support.spender import CALLS, desk_on, wanted

TENANT = TenantId("tnt_two_spenders")
CAP = 150  # of two hundred: each process gets some of it, and some of each are refused
LEASE_S = 60.0


@asynccontextmanager
async def spender(nats_url: str, name: str, lease_s: float) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.spender", nats_url, TENANT, name, str(lease_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def allowed(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None, "it was asked for"
    return int(await process.stdout.readline())


def begin(*processes: asyncio.subprocess.Process) -> None:
    for process in processes:
        assert process.stdin is not None, "it was asked for"
        process.stdin.write(b"go\n")


async def test_a_cap_holds_between_processes_and_a_killed_one_keeps_nothing(nats_url: str) -> None:
    connection = await NatsConnection.open(nats_url)
    try:
        await ensure_streams(connection)
        log = NatsLog(connection, Codec(EVENTS, UPCASTERS))
        clock = AheadClock()
        desk = desk_on(log, clock)
        await _cap(desk)
        async with spender(nats_url, "settles", LEASE_S) as one, spender(nats_url, "keeps", LEASE_S) as other:
            begin(one, other)
            async with asyncio.timeout(60):
                spent, kept = await asyncio.gather(allowed(one), allowed(other))
            assert min(spent, kept) >= CAP - CALLS
            assert spent + kept == CAP, "as much as there is, and no more"
            other.kill()
        clock.forward(timedelta(seconds=LEASE_S))
        again = [wanted(f"again-{each}", 2 * LEASE_S) for each in range(CALLS)]
        said = await asyncio.gather(*(desk.reserve(TENANT, each) for each in again))
        assert sum(isinstance(each, Reserved) for each in said) == kept, "nothing leaks"
        facts = [fact for each in await log.read(page_stream(TENANT, 1)) for fact in each.commit.events]
        assert sum(isinstance(fact, e.BudgetLapsed) for fact in facts) == kept
        (account,) = (await desk.books.book(TENANT)).accounts.values()
        assert account.spent == Amount(usd_micros=spent, calls=spent)
        assert account.reserved == Amount(usd_micros=kept, calls=kept)
        commits = len(await log.read(page_stream(TENANT, 1)))
        assert commits < 2 * CALLS, "calls share commits"
    finally:
        await connection.close()


async def _cap(desk: BudgetDesk) -> None:
    command = SetBudget(
        name="all",
        scope=Scope(kind="tenant"),
        period="none",
        caps=Caps(usd_micros=CAP),
        at_cap="stop",
        by=PrincipalId("prn_1"),
        now=desk.clock.now(),
        reason="test",
    )
    handled = await desk.books.handle(TENANT, command, Cause(actor=SYSTEM, command_id=CommandId("cmd_cap")))
    assert isinstance(handled.state, Book)
