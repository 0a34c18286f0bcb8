"""What is reserved, refused, settled and forgotten."""

from datetime import UTC, datetime, timedelta

import pytest

from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets import events as e
from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.decide import TURN_AFTER, turned
from fairlead.domain.budgets.errors import BudgetMoved, NoSuchBudget, PageTurned
from fairlead.domain.budgets.scopes import period_of
from fairlead.domain.budgets.states import Book, Closed
from fairlead.domain.errors import Invalid
from tests.support.clock import T0
from tests.unit.budgets.book import ANN, BOOKS, at, book_of, budget, enter, open_book, reserve, settle, spender, spent

USD = "usd_micros"


def test_the_last_millionth_of_a_cap_can_be_reserved_and_the_next_cannot() -> None:
    book = open_book().after(enter(reserve("a", 60), reserve("b", 40)))
    assert spent(book) == (100, 0)
    (refused,) = book.when(enter(reserve("c", 1)))
    assert isinstance(refused, e.BudgetRefused)
    assert (refused.code, refused.asked, refused.left) == ("budget_tenant_usd_micros", 1, 0)


@pytest.mark.parametrize("dimension", ["usd_micros", "tokens", "calls"])
@pytest.mark.parametrize(
    ("kind", "subject"),
    [("tenant", ""), ("workspace", "wsp_1"), ("workflow", "*"), ("run", "*"), ("principal", "prn_ann")],
)
def test_each_cap_of_each_scope_has_a_code_of_its_own(kind: str, subject: str, dimension: str) -> None:
    book = open_book(budget("b", kind, subject, caps=Caps(**{dimension: 2})))
    bound = Amount(**{dimension: 3})
    (refused,) = book.when(enter(reserve("a", bound=bound)))
    assert isinstance(refused, e.BudgetRefused)
    assert (refused.code, refused.dimension, refused.left) == (f"budget_{kind}_{dimension}", dimension, 2)


def test_a_call_reserves_in_every_budget_that_it_concerns_or_in_none() -> None:
    book = open_book(
        budget("all"), budget("mine", "run", "*", caps=Caps(usd_micros=15)), budget("other", "run", "run_9")
    )
    after = book.after(enter(reserve("a", 10), reserve("b", 10)))
    assert (spent(after, "all"), spent(after, "mine"), spent(after, "other")) == ((10, 0), (10, 0), (0, 0))
    others = after.after(enter(reserve("c", 10, spender=spender("run_2"))))
    assert (spent(others, "all"), spent(others, "mine")) == ((20, 0), (20, 0)), "each run has an account of its own"


def test_a_call_that_no_budget_concerns_is_written_nowhere() -> None:
    assert open_book(budget("b", "run", "run_9")).when(enter(reserve("a", 10_000))) == []


def test_what_was_not_spent_is_free_again() -> None:
    book = open_book().after(enter(reserve("a", 100)), enter(settle("a", 30)))
    assert spent(book) == (0, 30)
    assert spent(book.after(enter(reserve("b", 70)), enter(c.Release(reservation_id="b")))) == (0, 30)


def test_a_call_that_cost_more_than_its_bound_is_counted_all_the_same() -> None:
    book = open_book().after(enter(reserve("a", 100)))
    (settled,) = book.when(enter(settle("a", 130)))
    assert isinstance(settled, e.BudgetSettled)
    assert settled.over == Amount(usd_micros=30)
    (refused,) = book.after(enter(settle("a", 130))).when(enter(reserve("b", 1)))
    assert isinstance(refused, e.BudgetRefused)
    assert refused.left == 0


def test_nothing_is_done_twice() -> None:
    book = open_book().after(enter(reserve("a", 60)))
    assert book.when(enter(reserve("a", 60))) == []
    assert isinstance(book.when(enter(reserve("a", 60, seconds=5), seconds=5))[0], e.BudgetRenewed)
    ended = book.after(enter(settle("a", 10)))
    assert ended.when(enter(settle("a", 10))) == []
    assert ended.when(enter(c.Release(reservation_id="a"))) == []


def test_what_nobody_settles_lapses_and_counts_as_spent_until_somebody_says_what_it_was() -> None:
    lapsed = open_book().after(enter(reserve("a", 60)), c.Expire(now=at(61)))
    assert spent(lapsed) == (0, 60)
    assert lapsed.when(c.Expire(now=at(62))) == []
    (settled,) = lapsed.when(enter(settle("a", 20), seconds=90))
    assert isinstance(settled, e.BudgetSettled)
    assert settled.late
    assert spent(lapsed.after(enter(settle("a", 20), seconds=90))) == (0, 20)


def test_what_costs_nothing_unless_it_is_settled_is_free_when_it_lapses() -> None:
    assert spent(open_book().after(enter(reserve("a", 60, if_lost="release")), c.Expire(now=at(60)))) == (0, 0)


def test_whoever_takes_over_a_lapsed_call_does_not_pay_for_it_twice() -> None:
    lapsed = open_book().after(enter(reserve("a", 100)), c.Expire(now=at(61)))
    again = lapsed.after(enter(reserve("a", 100, seconds=70), seconds=70))
    assert spent(again) == (100, 0)
    assert spent(again.after(enter(settle("a", 90), seconds=80))) == (0, 90)


def test_what_is_past_its_time_makes_room_for_whoever_asks_next() -> None:
    book = open_book().after(enter(reserve("a", 100, if_lost="release")))
    facts = book.when(enter(reserve("b", 100, seconds=60), seconds=60))
    assert [type(fact) for fact in facts] == [e.BudgetLapsed, e.BudgetReserved]


def test_what_is_settled_just_when_it_lapses_is_settled() -> None:
    book = open_book().after(enter(reserve("a", 100)))
    assert [type(fact) for fact in book.when(enter(settle("a", 1), seconds=99))] == [e.BudgetSettled]


def test_a_refusal_that_is_known_is_not_written_down_again() -> None:
    assert open_book().when(enter(reserve("a", 101, quiet=True))) == []


def test_a_budget_is_set_under_the_version_that_was_seen() -> None:
    book = open_book()
    (changed,) = book.when(budget(caps=Caps(usd_micros=50), expected_version=1))
    assert isinstance(changed, e.BudgetSet)
    assert changed.version == 2
    for stale in (
        budget(expected_version=0),
        c.RemoveBudget(name="all", by=ANN, now=T0, reason="x", expected_version=2),
    ):
        with pytest.raises(BudgetMoved):
            book.when(stale)
    assert book.when(budget()) == []
    with pytest.raises(NoSuchBudget):
        book.when(c.RemoveBudget(name="none", by=ANN, now=T0, reason="x"))


def test_versions_go_on_when_a_budget_is_removed_and_made_again() -> None:
    book = open_book().after(c.RemoveBudget(name="all", by=ANN, now=T0, reason="x", expected_version=1))
    (again,) = book.when(budget(expected_version=0))
    assert isinstance(again, e.BudgetSet)
    assert again.version == 2


@pytest.mark.parametrize(
    "wrong", [budget(caps=Caps()), budget("b", "run"), budget("b", "tenant", "*"), budget(period="day")]
)
def test_a_budget_that_says_nothing_or_means_something_else_is_refused(wrong: c.SetBudget) -> None:
    with pytest.raises(Invalid):
        open_book().when(wrong)


def test_a_lower_cap_holds_for_what_comes_and_leaves_what_was_spent() -> None:
    book = open_book().after(enter(reserve("a", 60)), enter(settle("a", 60)), budget(caps=Caps(usd_micros=50)))
    (refused,) = book.when(enter(reserve("b", 1)))
    assert isinstance(refused, e.BudgetRefused)
    assert (spent(book), refused.left) == ((0, 60), 0)


def test_a_top_up_counts_in_its_period_alone() -> None:
    book = open_book(budget(period="day"))
    more = book.after(c.TopUp(name="all", amount=Amount(usd_micros=20), by=ANN, now=T0, reason="a busy day"))
    assert spent(more.after(enter(reserve("a", 120)))) == (120, 0)
    tomorrow = more.when(enter(reserve("b", 101, seconds=86_400), seconds=86_400))
    assert isinstance(tomorrow[0], e.BudgetRefused)


def test_a_top_up_of_a_budget_for_each_names_whose() -> None:
    book = open_book(budget("b", "run", "*"))
    with pytest.raises(Invalid):
        book.when(c.TopUp(name="b", amount=Amount(usd_micros=20), by=ANN, now=T0, reason="x"))
    more = book.after(c.TopUp(name="b", amount=Amount(usd_micros=20), by=ANN, now=T0, reason="x", subject="run_1"))
    assert spent(more.after(enter(reserve("a", 120))), "b") == (120, 0)
    assert isinstance(more.when(enter(reserve("c", 120, spender=spender("run_2"))))[0], e.BudgetRefused)


@pytest.mark.parametrize(
    ("period", "zone", "now", "first", "ends"),
    [
        ("day", "UTC", datetime(2026, 3, 2, 23, 59, tzinfo=UTC), "2026-03-02", datetime(2026, 3, 3, tzinfo=UTC)),
        (
            "day",
            "Europe/Berlin",
            datetime(2026, 3, 2, 23, 30, tzinfo=UTC),
            "2026-03-03",
            datetime(2026, 3, 3, 23, tzinfo=UTC),
        ),
        (
            "day",
            "Europe/Berlin",
            datetime(2026, 3, 29, 12, tzinfo=UTC),
            "2026-03-29",
            datetime(2026, 3, 29, 22, tzinfo=UTC),
        ),
        ("week", "UTC", datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-02-23", datetime(2026, 3, 2, tzinfo=UTC)),
        (
            "month",
            "Asia/Tokyo",
            datetime(2026, 12, 31, 15, tzinfo=UTC),
            "2027-01-01",
            datetime(2027, 1, 31, 15, tzinfo=UTC),
        ),
    ],
)
def test_a_period_begins_at_midnight_where_the_tenant_is(
    period: str, zone: str, now: datetime, first: str, ends: datetime
) -> None:
    assert period_of(period, zone, now) == (first, ends)  # type: ignore[arg-type]  # parametrised texts


def test_a_call_is_settled_in_the_period_in_which_it_was_reserved() -> None:
    asked = reserve("a", 100, until=at(200_000))
    late = open_book(budget(period="day")).after(enter(asked), enter(settle("a", 90), seconds=90_000))
    assert [account.part.period for account in book_of(late).accounts.values()] == ["2026-03-02"]
    assert spent(late.after(enter(reserve("b", 100, seconds=90_000), seconds=90_000))) == (100, 90)


def test_a_full_page_is_closed_and_the_next_begins_with_what_still_counts() -> None:
    book = open_book(budget(period="day"), budget("each", "run", "*"))
    over = spender("run_0", run_ends_at=T0 + timedelta(hours=1))
    book = book.after(enter(reserve("x", 10, spender=over)), enter(settle("x", 5)))
    assert book.when(c.TurnPage()) == []
    while book_of(book).facts < TURN_AFTER - 1:
        number = str(book_of(book).facts)
        book = book.after(enter(reserve(number, 1)), enter(c.Release(reservation_id=number)))
    book = book.after(enter(reserve("open", 7), reserve("lost", 3)), c.Expire(now=at(61)))
    book = book.after(enter(reserve("open2", 7, seconds=61), seconds=61))
    closed = book.after(c.TurnPage())
    assert isinstance(closed.state, Closed)
    with pytest.raises(PageTurned):
        closed.when(enter(reserve("y")))
    opened = turned(closed.state, at(7200))
    after = BOOKS.evolve(BOOKS.initial(), opened)
    assert isinstance(after, Book)
    before = book_of(book)
    assert (after.page, after.facts) == (2, 1)
    assert (after.budgets, after.reservations, after.lapsed) == (before.budgets, before.reservations, before.lapsed)
    assert set(before.accounts) - set(after.accounts) == {"each//run_0"}, "a run that is over has left"
    assert BOOKS.decide(c.OpenPage(opened=opened), after) == []
