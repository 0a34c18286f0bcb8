"""A tenant's book of budgets, and how each fact changes it.

A page of the book is a stream. It is closed after some thousand facts, and the next one begins with what still counts:
so neither the stream that a process reads nor what it keeps in memory grows with the years.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeVar, assert_never

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.budgets.amounts import NOTHING, Amount, Dimension
from fairlead.domain.budgets.events import (
    BudgetEvent,
    BudgetLapsed,
    BudgetRefused,
    BudgetReleased,
    BudgetRemoved,
    BudgetRenewed,
    BudgetReserved,
    BudgetSet,
    BudgetSettled,
    BudgetToppedUp,
    CarriedAccount,
    PageClosed,
    PageOpened,
    ZoneChosen,
)
from fairlead.domain.budgets.scopes import UTC_ZONE, Part, Spender, period_of, subjects

V = TypeVar("V")

MOST_LAPSED = 1_000  # remembered, in case somebody still says what they have cost


class Account(Struct, frozen=True, kw_only=True):
    """What one subject of a budget has spent in one period. `extra` it was given beyond the cap."""

    part: Part
    reserved: Amount = NOTHING
    spent: Amount = NOTHING
    extra: Amount = NOTHING


class Lapsed(Struct, frozen=True):
    reserved: BudgetReserved
    charged: Amount


class Book(Struct, frozen=True, kw_only=True):
    """`versions` are the last of every budget there ever was, by name; `facts` is how many this page has."""

    page: int = 1
    facts: int = 0
    zone: str = UTC_ZONE
    budgets: Mapping[str, BudgetSet] = {}
    versions: Mapping[str, int] = {}
    accounts: Mapping[str, Account] = {}
    reservations: Mapping[str, BudgetReserved] = {}
    lapsed: Mapping[str, Lapsed] = {}

    def account(self, part: Part) -> Account:
        return self.accounts.get(part.key) or Account(part=part)

    def left(self, part: Part, dimension: Dimension) -> int | None:
        """None where nothing is capped. Below zero where the cap was lowered since."""
        budget = self.budgets.get(part.budget)
        cap = None if budget is None else dict(budget.caps).get(dimension)
        if cap is None:
            return None
        account = self.account(part)
        return cap + account.extra.of(dimension) - account.spent.of(dimension) - account.reserved.of(dimension)

    def parts(self, spender: Spender, now: datetime) -> Iterator[Part]:
        """Every account that a call of this spender is counted in."""
        for budget in self.budgets.values():
            for subject in subjects(budget.scope, spender):
                yield self.part(budget, subject, now, spender.run_ends_at)

    def concerned(self, spender: Spender, bound: Amount, now: datetime) -> Iterator[Part]:
        """Of those, the accounts in which this can pass a cap: what costs nothing is not counted against money."""
        for part in self.parts(spender, now):
            if any(bound.of(dimension) for dimension, _ in self.budgets[part.budget].caps):
                yield part

    def part(self, budget: BudgetSet, subject: str, now: datetime, run_ends_at: datetime | None = None) -> Part:
        """The account of the present period. That of a run is over with the run."""
        period, ends_at = period_of(budget.period, self.zone, now)
        if budget.scope.kind == "run" and ends_at is None:
            ends_at = run_ends_at
        return Part(budget=budget.name, subject=subject, period=period, ends_at=ends_at)


class Closed(Struct, frozen=True):
    """A page that is full: `book` is what it was closed with."""

    book: Book


BudgetState = Book | Closed


def initial() -> BudgetState:
    return Book()


def evolve(state: BudgetState, event: BudgetEvent) -> BudgetState:
    """Apply a fact. No rules here."""
    assert isinstance(state, Book), "nothing follows the closing of a page"
    book = replace(state, facts=state.facts + 1)
    match event:
        case BudgetReserved():
            return _reserved(book, event)
        case BudgetRenewed(reservation_id=reservation_id, until=until):
            renewed = replace(book.reservations[reservation_id], until=until)
            return replace(book, reservations={**book.reservations, reservation_id: renewed})
        case BudgetSettled():
            return _settled(book, event)
        case BudgetReleased(reservation_id=reservation_id):
            return _ended(book, book.reservations[reservation_id], NOTHING)
        case BudgetLapsed(reservation_id=reservation_id, charged=charged):
            return _lapsed(book, book.reservations[reservation_id], charged)
        case BudgetRefused():
            return book
        case PageClosed():
            return Closed(book)
        case PageOpened():
            return _opened(event)
        case _:
            return _arranged(book, event)


def _arranged(book: Book, event: BudgetSet | BudgetRemoved | ZoneChosen | BudgetToppedUp) -> Book:
    match event:
        case BudgetSet(name=name, version=version):
            return replace(book, budgets={**book.budgets, name: event}, versions={**book.versions, name: version})
        case BudgetRemoved(name=name, version=version):
            return replace(book, budgets=_without(book.budgets, name), versions={**book.versions, name: version})
        case ZoneChosen(zone=zone):
            return replace(book, zone=zone)
        case BudgetToppedUp(part=part, amount=amount):
            account = book.account(part)
            more = replace(account, extra=account.extra.plus(amount))
            return replace(book, accounts={**book.accounts, part.key: more})
        case _:
            assert_never(event)


def carried(book: Book) -> PageOpened:
    """What the page after this one begins with: accounts of periods that are over stay behind, unless something is
    still reserved in them."""
    held = {part.key for reserved in book.reservations.values() for part in reserved.parts}
    return PageOpened(
        page=book.page + 1,
        zone=book.zone,
        budgets=tuple(book.budgets.values()),
        versions=dict(book.versions),
        accounts=tuple(
            CarriedAccount(part=each.part, reserved=each.reserved, spent=each.spent, extra=each.extra)
            for key, each in book.accounts.items()
            if key in held or each.part.budget in book.budgets
        ),
        reservations=tuple(book.reservations.values()),
        lapsed=tuple(
            (each.reserved, BudgetLapsed(reservation_id=key, charged=each.charged)) for key, each in book.lapsed.items()
        ),
    )


def as_of(book: Book, now: datetime) -> Book:
    """Without the accounts of what is over by then: nothing is counted in them any more."""
    held = {part.key for reserved in book.reservations.values() for part in reserved.parts}
    kept = {
        key: each
        for key, each in book.accounts.items()
        if key in held or each.part.ends_at is None or each.part.ends_at > now
    }
    return book if len(kept) == len(book.accounts) else replace(book, accounts=kept)


def revived(book: Book, reservation_id: str) -> Book:
    """Whoever takes over a call that had lapsed reserves anew what was charged for it."""
    late = book.lapsed.get(reservation_id)
    if late is None:
        return book
    return replace(book, accounts=_corrected(book, late, NOTHING), lapsed=_without(book.lapsed, reservation_id))


def _reserved(before: Book, event: BudgetReserved) -> Book:
    book = revived(before, event.reservation_id)
    accounts = dict(book.accounts)
    for part in event.parts:
        account = book.account(part)
        ends_at = _later(account.part.ends_at, part.ends_at)
        accounts[part.key] = replace(
            account, part=replace(part, ends_at=ends_at), reserved=account.reserved.plus(event.bound)
        )
    return replace(book, accounts=accounts, reservations={**book.reservations, event.reservation_id: event})


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one is not None and other is not None else one or other


def _corrected(book: Book, late: Lapsed, actual: Amount) -> dict[str, Account]:
    accounts = dict(book.accounts)
    for part in late.reserved.parts:
        if (account := accounts.get(part.key)) is not None:  # else its period is over and forgotten
            accounts[part.key] = replace(account, spent=account.spent.minus(late.charged).plus(actual))
    return accounts


def _settled(book: Book, event: BudgetSettled) -> Book:
    reserved = book.reservations.get(event.reservation_id)
    if reserved is not None:
        return _ended(book, reserved, event.actual)
    accounts = _corrected(book, book.lapsed[event.reservation_id], event.actual)
    return replace(book, accounts=accounts, lapsed=_without(book.lapsed, event.reservation_id))


def _ended(book: Book, reserved: BudgetReserved, spent: Amount) -> Book:
    accounts = dict(book.accounts)
    for part in reserved.parts:
        account = accounts[part.key]
        accounts[part.key] = replace(
            account, reserved=account.reserved.minus(reserved.bound), spent=account.spent.plus(spent)
        )
    return replace(book, accounts=accounts, reservations=_without(book.reservations, reserved.reservation_id))


def _lapsed(book: Book, reserved: BudgetReserved, charged: Amount) -> Book:
    ended = _ended(book, reserved, charged)
    lapsed = {**ended.lapsed, reserved.reservation_id: Lapsed(reserved, charged)}
    if len(lapsed) > MOST_LAPSED:
        del lapsed[next(iter(lapsed))]
    return replace(ended, lapsed=lapsed)


def _opened(event: PageOpened) -> Book:
    return Book(
        page=event.page,
        facts=1,
        zone=event.zone,
        budgets={each.name: each for each in event.budgets},
        versions=event.versions,
        accounts={
            each.part.key: Account(part=each.part, reserved=each.reserved, spent=each.spent, extra=each.extra)
            for each in event.accounts
        },
        reservations={each.reservation_id: each for each in event.reservations},
        lapsed={each.reservation_id: Lapsed(each, lapsed.charged) for each, lapsed in event.lapsed},
    )


def _without(kept: Mapping[str, V], name: str) -> Mapping[str, V]:
    return kept if name not in kept else {key: value for key, value in kept.items() if key != name}
