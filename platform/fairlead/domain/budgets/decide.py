"""What is entered into a tenant's book of budgets, and what is refused. Pure.

What is past its time lapses before anything else is decided, so a place that nobody gives back is never kept for long.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets import events as e
from fairlead.domain.budgets.amounts import NOTHING, Dimension
from fairlead.domain.budgets.errors import BudgetMoved, NoSuchBudget, PageTurned, TooManyBudgets
from fairlead.domain.budgets.scopes import EACH, Part, ScopeKind, is_zone
from fairlead.domain.budgets.states import Book, BudgetState, Closed, as_of, carried, evolve, revived
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.redaction import redact_text

MOST_BUDGETS = 200
MOST_RESERVED = 5_000  # calls under way at once
MOST_ACCOUNTS = 50_000
TURN_AFTER = 2_000  # facts of a page

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Refusal(Struct, frozen=True, kw_only=True):
    """No room for a call in one account of one budget. `part` is None where the book itself is full."""

    code: str
    at_cap: e.AtCap
    dimension: Dimension = "calls"
    part: Part | None = None
    asked: int = 0
    left: int = 0


def refusal_code(scope: ScopeKind, dimension: Dimension) -> str:
    """`budget_run_usd_micros`, `budget_tenant_calls`: one for each kind of scope and each dimension. Permanent."""
    return f"budget_{scope}_{dimension}"


def page_stream(tenant_id: TenantId, page: int) -> StreamRef:
    return StreamRef(tenant_id, "budget", f"bdg_{tenant_id.partition('_')[2] or tenant_id}-{page}")


def decide(command: c.BudgetCommand, state: BudgetState) -> list[e.BudgetEvent]:
    """Raises PageTurned, NoSuchBudget, BudgetMoved, TooManyBudgets, Invalid."""
    if isinstance(state, Closed):
        raise PageTurned(f"the book goes on in page {state.book.page + 1}")
    match command:
        case c.Enter(entries=entries, now=now):
            return _entered(entries, state, now)
        case c.Expire(now=now):
            return list(lapsing(state, now))
        case c.TurnPage():
            return [e.PageClosed(page=state.page)] if state.facts >= TURN_AFTER else []
        case c.OpenPage(opened=opened):
            return [] if state.facts else [opened]
        case _:
            return _managed(command, state)


def _managed(command: c.ManagedCommand, book: Book) -> list[e.BudgetEvent]:
    match command:
        case c.SetBudget():
            return _set(command, book)
        case c.RemoveBudget():
            return [_removed(command, book)]
        case c.ChooseZone(zone=zone):
            if not is_zone(zone):
                raise Invalid([Problem(path="/zone", message="must be a zone of the IANA database, as Europe/Berlin")])
            chosen = e.ZoneChosen(zone=zone, chosen_by=command.by, reason=redact_text(command.reason))
            return [] if zone == book.zone else [chosen]
        case c.TopUp():
            return [_topped_up(command, book)]
        case _:
            assert_never(command)


def lapsing(book: Book, now: datetime) -> Iterator[e.BudgetLapsed]:
    """Whatever is reserved past its time."""
    for reservation_id, reserved in book.reservations.items():
        if reserved.until <= now:
            charged = reserved.bound if reserved.if_lost == "charge" else NOTHING
            yield e.BudgetLapsed(reservation_id=reservation_id, charged=charged)


def refusal(reserve: c.Reserve, book: Book, now: datetime) -> Refusal | None:
    """Why there is no room for it now; None where there is."""
    if len(book.reservations) >= MOST_RESERVED or len(book.accounts) >= MOST_ACCOUNTS:
        return Refusal(code="budget_book_full", at_cap="ask")
    for part in book.concerned(reserve.spender, reserve.bound, now):
        budget = book.budgets[part.budget]
        for dimension, _ in budget.caps:
            asked, left = reserve.bound.of(dimension), book.left(part, dimension)
            if left is not None and asked > max(left, 0):
                return Refusal(
                    code=refusal_code(budget.scope.kind, dimension),
                    at_cap=budget.at_cap,
                    dimension=dimension,
                    part=part,
                    asked=asked,
                    left=max(left, 0),
                )
    return None


def turned(closed: Closed, now: datetime) -> e.PageOpened:
    """How the next page begins."""
    return carried(as_of(closed.book, now))


def _entered(entries: tuple[c.Entry, ...], book: Book, now: datetime) -> list[e.BudgetEvent]:
    facts: list[e.BudgetEvent] = []
    late = {entry.reservation_id for entry in entries if not isinstance(entry, c.Reserve)}
    for lapsed in lapsing(book, now):
        if lapsed.reservation_id not in late:  # what is settled just now is not lost
            facts.append(lapsed)
            book = _after(book, lapsed)
    for entry in entries:
        for fact in _entry(entry, book, now):
            facts.append(fact)
            book = _after(book, fact)
    return facts


def _entry(entry: c.Entry, book: Book, now: datetime) -> Iterator[e.BudgetEvent]:
    held = book.reservations.get(entry.reservation_id)
    match entry:
        case c.Reserve() if held is None:
            yield from _reserve(entry, book, now)
        case c.Reserve(until=until) | c.Renew(until=until):
            if held is not None and until > held.until:
                yield e.BudgetRenewed(reservation_id=entry.reservation_id, until=until)
        case c.Settle(reservation_id=reservation_id, actual=actual):
            lapsed = book.lapsed.get(reservation_id)
            if held is not None:
                yield e.BudgetSettled(reservation_id=reservation_id, actual=actual, over=actual.beyond(held.bound))
            elif lapsed is not None:
                over = actual.beyond(lapsed.reserved.bound)
                yield e.BudgetSettled(reservation_id=reservation_id, actual=actual, late=True, over=over)
        case c.Release(reservation_id=reservation_id):
            if held is not None:
                yield e.BudgetReleased(reservation_id=reservation_id)
        case _:
            assert_never(entry)


def _reserve(reserve: c.Reserve, book: Book, now: datetime) -> Iterator[e.BudgetEvent]:
    parts = tuple(book.concerned(reserve.spender, reserve.bound, now))
    if not parts:
        return
    refused = refusal(reserve, revived(book, reserve.reservation_id), now)
    if refused is None:
        yield e.BudgetReserved(
            reservation_id=reserve.reservation_id,
            spender=reserve.spender,
            parts=parts,
            bound=reserve.bound,
            until=reserve.until,
            if_lost=reserve.if_lost,
        )
    elif not reserve.quiet:
        yield e.BudgetRefused(
            reservation_id=reserve.reservation_id,
            spender=reserve.spender,
            budget=refused.part.budget if refused.part else "",
            subject=refused.part.subject if refused.part else "",
            dimension=refused.dimension,
            code=refused.code,
            asked=refused.asked,
            left=refused.left,
            at_cap=refused.at_cap,
        )


def _set(command: c.SetBudget, book: Book) -> list[e.BudgetEvent]:
    there = book.budgets.get(command.name)
    version = there.version if there else 0
    if command.expected_version not in (None, version):
        raise BudgetMoved(f"the newest version is {version}")
    problems = [*_misfits(command)]
    if there is not None and (there.scope, there.period) != (command.scope, command.period):
        problems.append(Problem(path="/scope", message="scope and period of a budget stay: remove it, or make another"))
    if problems:
        raise Invalid(problems)
    if there is None and len(book.budgets) >= MOST_BUDGETS:
        raise TooManyBudgets(f"a tenant has {MOST_BUDGETS} budgets at most")
    if there is not None and (there.caps, there.at_cap) == (command.caps, command.at_cap):
        return []
    return [
        e.BudgetSet(
            name=command.name,
            version=book.versions.get(command.name, 0) + 1,
            scope=command.scope,
            period=command.period,
            caps=command.caps,
            at_cap=command.at_cap,
            set_by=command.by,
            set_at=command.now,
            reason=redact_text(command.reason),
        )
    ]


def _misfits(command: c.SetBudget) -> Iterator[Problem]:
    if not _NAME.fullmatch(command.name):
        message = "must start with a lower-case letter and have lower-case letters, digits and hyphens, 63 at most"
        yield Problem(path="/name", message=message)
    if not dict(command.caps):
        yield Problem(path="/caps", message="must cap something")
    if (command.scope.kind == "tenant") != (not command.scope.id):
        yield Problem(path="/scope/id", message=f"a tenant has none; of any other scope it is an id, or {EACH}")


def _topped_up(command: c.TopUp, book: Book) -> e.BudgetToppedUp:
    budget = _known(book, command.name, None)
    wants_subject = budget.scope.id == EACH
    if wants_subject != bool(command.subject) and command.subject != budget.scope.id:
        raise Invalid([Problem(path="/subject", message="names one of those that the budget has an account for each")])
    if command.amount == NOTHING:
        raise Invalid([Problem(path="/amount", message="must be more than nothing")])
    part = book.part(budget, command.subject or budget.scope.id, command.now)
    known = book.accounts.get(part.key)
    return e.BudgetToppedUp(
        part=known.part if known else part,
        amount=command.amount,
        given_by=command.by,
        given_at=command.now,
        reason=redact_text(command.reason),
    )


def _removed(command: c.RemoveBudget, book: Book) -> e.BudgetRemoved:
    return e.BudgetRemoved(
        name=command.name,
        version=_known(book, command.name, command.expected_version).version,
        removed_by=command.by,
        removed_at=command.now,
        reason=redact_text(command.reason),
    )


def _known(book: Book, name: str, expected_version: int | None) -> e.BudgetSet:
    budget = book.budgets.get(name)
    if budget is None:
        raise NoSuchBudget("no such budget")
    if expected_version not in (None, budget.version):
        raise BudgetMoved(f"the newest version is {budget.version}")
    return budget


def _after(book: Book, fact: e.BudgetEvent) -> Book:
    after = evolve(book, fact)
    assert isinstance(after, Book), "no entry closes a page"
    return after
