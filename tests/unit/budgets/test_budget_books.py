"""A book goes on from page to page, whoever writes it and whoever comes late."""

import asyncio

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets import decide as budget_decisions
from fairlead.domain.budgets.states import Book, initial
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.handler import Cause, Handler
from tests.support.clock import ManualClock
from tests.support.spender import BUDGETS
from tests.unit.budgets.book import budget, enter, reserve, settle

TENANT = TenantId("tnt_a")


class Clerk:
    """One process of several on the same log."""

    def __init__(self, log: MemoryLog, name: str) -> None:
        clock = ManualClock()
        self.books = BudgetBooks(log, Handler(log, clock, {"budget": BUDGETS}), clock)
        self._name = name
        self._count = 0

    async def do(self, command: c.BudgetCommand) -> None:
        self._count += 1
        cause = Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{self._name}{self._count}"))
        await self.books.handle(TENANT, command, cause)

    async def book(self) -> Book:
        return await self.books.book(TENANT)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(Codec(EVENTS, UPCASTERS))


async def test_processes_that_write_one_book_turn_its_pages_and_lose_nothing(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_decisions, "TURN_AFTER", 8)
    monkeypatch.setattr("fairlead.handling.budget_books.TURN_AFTER", 8)
    one, other = Clerk(log, "a"), Clerk(log, "b")
    await one.do(budget())

    async def spend(clerk: Clerk, name: str) -> None:
        for number in range(20):
            await clerk.do(enter(reserve(f"{name}{number}", 2)))
            await clerk.do(enter(settle(f"{name}{number}", 1)))

    await asyncio.gather(spend(one, "a"), spend(other, "b"))
    late = await Clerk(log, "c").book()
    assert late.page > 5
    (account,) = late.accounts.values()
    assert (account.spent.usd_micros, account.spent.calls, account.reserved.calls) == (40, 40, 0)
    assert (await one.book()) == (await other.book()) == late


async def test_a_tenant_without_a_book_has_an_empty_one(log: MemoryLog) -> None:
    assert await Clerk(log, "a").book() == initial()


async def test_what_has_lapsed_is_not_shown_as_reserved(log: MemoryLog) -> None:
    clerk = Clerk(log, "a")
    await clerk.do(budget())
    await clerk.do(c.Enter(entries=(reserve("x", 50, seconds=-60),), now=ManualClock().now()))
    book = await clerk.book()
    assert not book.reservations
    assert [account.spent.usd_micros for account in book.accounts.values()] == [50]
