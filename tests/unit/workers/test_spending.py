"""Calls and budgets: what is reserved before a call, settled after it, refused, waited for, and taken over."""

from typing import Any

import pytest
from fairlead_sdk.errors import OutcomeUnknown, Refused
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.budgets import commands as b
from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.decide import page_stream
from fairlead.domain.budgets.scopes import Scope
from fairlead.domain.budgets.states import Account, Book
from fairlead.domain.runs import events as e
from fairlead.domain.tenants.commands import KeepBudgets
from fairlead.workers import spending
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import parallel
from tests.support.platform import PAYING, Platform, ended
from tests.support.tenancy import BY_OWNER, TENANT

ANN = PrincipalId("prn_ann")
FEE = 40


async def cap(platform: Platform, name: str = "all", **changes: Any) -> None:
    await platform.tell_tenant(KeepBudgets(by=BY_OWNER, now=T0))
    given: dict[str, Any] = {
        "scope": Scope(kind="tenant"),
        "period": "none",
        "caps": Caps(usd_micros=100),
        "at_cap": "stop",
        "by": ANN,
        "now": T0,
        "reason": "test",
    }
    await platform.main.budgets.handle(TENANT, b.SetBudget(name=name, **given | changes), platform.cause())


async def account(platform: Platform) -> Account:
    """Of the only budget, once all that was said is written."""
    await platform.main.desk.written()
    book: Book = await platform.main.budgets.book(TENANT)
    (found,) = book.accounts.values()
    return found


def several(count: int) -> list[Any]:
    return [{**PAYING, "id": f"pay{number}"} for number in range(count)]


async def denials(platform: Platform, run: Any) -> list[str]:
    return [
        fact.rule_id
        for fact in await platform.history(run)
        if isinstance(fact, e.ToolCallDenied) and fact.by == "budget"
    ]


async def fees(platform: Platform, run: Any) -> int:
    """What the facts of the run say that its tools have cost."""
    found = 0
    for fact in await platform.history(run):
        match fact:
            case e.ToolCallCompleted(cost_usd_micros=fee):
                found += fee
            case e.ToolCallFailed(charged_usd_micros=fee) | e.ToolCallOutcomeUnknown(charged_usd_micros=fee):
                found += fee
    return found


async def test_calls_are_made_until_the_cap_and_no_further() -> None:
    books = Books()
    platform = Platform(books.keyed(cost_usd_micros=FEE), steps=several(3))
    async with platform.at_work():
        await cap(platform)
        run = await platform.start()
        await platform.until(run, ended)
        spent = await account(platform)
    assert (spent.spent, spent.reserved) == (Amount(usd_micros=2 * FEE, calls=2), Amount())
    assert await fees(platform, run) == 2 * FEE
    assert await denials(platform, run) == ["budget_tenant_usd_micros"]
    assert len(books.requests) == 2


async def test_calls_at_once_share_what_is_left_and_share_commits() -> None:
    books = Books()
    many: dict[str, Any] = {f"b{number}": [{**PAYING, "id": f"pay{number}"}] for number in range(8)}
    platform = Platform(books.keyed(cost_usd_micros=FEE), steps=[parallel("all", **many)])
    async with platform.at_work(workers=2):
        await cap(platform, caps=Caps(usd_micros=5 * FEE))
        run = await platform.start()
        await platform.until(run, ended)
        spent = await account(platform)
    assert spent.spent.usd_micros <= 5 * FEE
    assert spent.spent.usd_micros == FEE * len(books.requests)
    assert not spent.reserved.calls
    written = await platform.log.read(page_stream(TENANT, 1))
    facts = sum(len(recorded.commit.events) for recorded in written)
    assert len(written) < facts


async def test_a_call_waits_until_somebody_gives_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "ASK_AGAIN_S", 1.1)  # longer than a worker waits with it
    books = Books()
    platform = Platform(books.keyed(cost_usd_micros=FEE))
    async with platform.at_work():
        await cap(platform, caps=Caps(usd_micros=FEE - 1), at_cap="ask")
        run = await platform.start()
        state = await platform.until(run, lambda found: any(call.held for call in found.calls.values()))
        (held,) = (call.held for call in state.calls.values())
        assert (held.held_for, held.subject) == ("budget", "all")
        assert not books.requests
        more = b.TopUp(name="all", amount=Amount(usd_micros=1), by=ANN, now=T0, reason="go on")
        await platform.main.budgets.handle(TENANT, more, platform.cause())
        await platform.until(run, ended)
    assert len(books.requests) == 1


@pytest.mark.parametrize(
    ("error", "spent"),
    [(Refused("no", "closed"), Amount(calls=1)), (OutcomeUnknown("it hung up"), Amount(usd_micros=FEE, calls=1))],
)
async def test_what_failed_for_certain_costs_no_fee_and_what_nobody_knows_does(error: Exception, spent: Amount) -> None:
    books = Books()

    async def during(_: Any) -> None:
        raise error

    books.during = during
    platform = Platform(books.unkeyed(cost_usd_micros=FEE))
    async with platform.at_work():
        await cap(platform)
        run = await platform.start()
        await platform.until(run, lambda state: ended(state) or bool(state.questions))
        found = await account(platform)
    assert (found.spent, found.reserved) == (spent, Amount())
    assert await fees(platform, run) == spent.usd_micros


async def test_a_tenant_without_budgets_writes_and_asks_nothing() -> None:
    books = Books()
    platform = Platform(books.keyed(cost_usd_micros=FEE))
    async with platform.at_work():
        run = await platform.start()
        await platform.until(run, ended)
    assert await platform.log.read(page_stream(TENANT, 1)) == []
    assert await fees(platform, run) == FEE


async def test_a_free_call_is_not_counted_against_money() -> None:
    platform = Platform(Books().keyed())
    async with platform.at_work():
        await cap(platform, caps=Caps(usd_micros=0))
        run = await platform.start()
        await platform.until(run, ended)
    assert await denials(platform, run) == []
