"""Many workers, late, crashing and told twice: whatever they do, a cap is never passed and nothing is kept for ever.

`FAIRLEAD_INTERLEAVINGS` says how many histories are tried; a change of the decisions is tried with ten thousand.
"""

import os
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets import events as e
from fairlead.domain.budgets.amounts import NOTHING, Amount, Caps
from fairlead.domain.budgets.decide import decide, turned
from fairlead.domain.budgets.states import Book, BudgetState, evolve, initial
from tests.unit.budgets.book import ANN, LEASE, at, budget, enter, spender

CAP = 100
RUNS = ("run_1", "run_2")
INTERLEAVINGS = int(os.environ.get("FAIRLEAD_INTERLEAVINGS", "40"))
small = st.integers(0, 60)


class Cashier(RuleBasedStateMachine):
    """`out` are calls that some worker believes to have reserved, `gone` those whose worker is no more."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.state: BudgetState = initial()
        self.history: list[e.BudgetEvent] = []
        self.bounds: dict[str, c.Reserve] = {}
        self.said: list[c.Entry] = []
        self.numbers = 0

    def ask(self, *entries: c.Entry) -> list[e.BudgetEvent]:
        return self.tell(enter(*entries, seconds=self.now_s))

    def tell(self, command: c.BudgetCommand) -> list[e.BudgetEvent]:
        facts = decide(command, self.state)
        for fact in facts:
            self.state = evolve(self.state, fact)
        self.history += facts
        return facts

    @property
    def book(self) -> Book:
        assert isinstance(self.state, Book)
        return self.state

    @initialize(each=st.integers(20, 100))
    def budgets_are_set(self, each: int) -> None:
        self.tell(budget("all", caps=Caps(usd_micros=CAP, calls=8)))
        self.tell(budget("each", "run", "*", caps=Caps(usd_micros=each)))
        self.tell(budget("daily", "workflow", "wfl_1", period="day", caps=Caps(usd_micros=70)))

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 60.0, 61.0, 86_400.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now_s += seconds

    def asked(self, run: str, bound: int) -> c.Reserve:
        self.numbers += 1
        made = c.Reserve(
            reservation_id=f"r{self.numbers}",
            spender=spender(run),
            bound=Amount(usd_micros=bound, calls=1),
            until=at(self.now_s) + LEASE,
        )
        self.bounds[made.reservation_id] = made
        return made

    @rule(calls=st.lists(st.tuples(st.sampled_from(RUNS), small), min_size=1, max_size=4))
    def a_worker_reserves_for_many(self, calls: list[tuple[str, int]]) -> None:
        entries = tuple(self.asked(run, bound) for run, bound in calls)
        self.ask(*entries)
        self.said += entries

    @precondition(lambda self: self.bounds)
    @rule(data=st.data())
    def another_worker_takes_over(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.bounds)))
        before = self.bounds[number]
        again = c.Reserve(
            reservation_id=number, spender=before.spender, bound=before.bound, until=at(self.now_s) + LEASE
        )
        if number in self.book.reservations or number in self.book.lapsed:
            self.ask(again)

    @precondition(lambda self: self.bounds)
    @rule(data=st.data(), share=st.integers(0, 100))
    def a_call_is_settled(self, data: st.DataObject, share: int) -> None:
        """Also one that lapsed, was settled before, or was never allowed."""
        number = data.draw(st.sampled_from(sorted(self.bounds)))
        actual = self.bounds[number].bound.usd_micros * share // 100
        entry = c.Settle(reservation_id=number, actual=Amount(usd_micros=actual, calls=1))
        self.ask(entry)
        self.said.append(entry)

    @precondition(lambda self: self.bounds)
    @rule(data=st.data())
    def a_call_is_given_up(self, data: st.DataObject) -> None:
        entry = c.Release(reservation_id=data.draw(st.sampled_from(sorted(self.bounds))))
        self.ask(entry)
        self.said.append(entry)

    @precondition(lambda self: any(isinstance(entry, c.Settle | c.Release) for entry in self.said))
    @rule(data=st.data())
    def an_answer_was_lost_and_it_is_said_again(self, data: st.DataObject) -> None:
        ends = [entry for entry in self.said if isinstance(entry, c.Settle | c.Release)]
        entry = data.draw(st.sampled_from(ends))
        self.ask(entry)
        held = entry.reservation_id in self.book.reservations
        assert not held, "whatever was said last, it is not held any more"

    @rule()
    def somebody_looks_at_leases(self) -> None:
        self.tell(c.Expire(now=at(self.now_s)))
        assert all(each.until > at(self.now_s) for each in self.book.reservations.values())

    @rule(more=st.integers(1, 20))
    def somebody_tops_up(self, more: int) -> None:
        self.tell(c.TopUp(name="all", amount=Amount(usd_micros=more), by=ANN, now=at(self.now_s), reason="more"))

    @rule()
    def a_page_is_turned(self) -> None:
        closed = evolve(self.state, e.PageClosed(page=self.book.page))
        assert not isinstance(closed, Book)
        self.state = evolve(initial(), turned(closed, at(self.now_s)))

    @invariant()
    def no_cap_is_passed(self) -> None:
        for account in self.book.accounts.values():
            taken = account.spent.plus(account.reserved)
            for dimension, cap in self.book.budgets[account.part.budget].caps:
                assert taken.of(dimension) <= cap + account.extra.of(dimension), account

    @invariant()
    def sums_agree_with_the_events(self) -> None:
        reserved, spent = tallied(self.history)
        for key, account in self.book.accounts.items():
            assert account.reserved == reserved.get(key, NOTHING), key
            assert account.spent == spent.get(key, NOTHING), key
        assert not {key for key, amount in reserved.items() if amount != NOTHING} - set(self.book.accounts)

    def teardown(self) -> None:
        """Nothing stays reserved when everybody is gone."""
        if isinstance(self.state, Book):
            self.tell(c.Expire(now=at(self.now_s) + timedelta(days=2)))
            assert not self.book.reservations
            assert all(account.reserved == NOTHING for account in self.book.accounts.values())


def tallied(history: list[e.BudgetEvent]) -> tuple[dict[str, Amount], dict[str, Amount]]:
    """Reserved and spent by account, counted from the events and from nothing else."""
    last: dict[str, tuple[e.BudgetReserved, Amount | None]] = {}
    for event in history:
        match event:
            case e.BudgetReserved(reservation_id=number):
                last[number] = (event, None)
            case (
                e.BudgetSettled(reservation_id=number, actual=amount)
                | e.BudgetLapsed(reservation_id=number, charged=amount)
            ):
                last[number] = (last[number][0], amount)
            case e.BudgetReleased(reservation_id=number):
                last[number] = (last[number][0], NOTHING)
            case _:
                pass
    reserved: dict[str, Amount] = {}
    spent: dict[str, Amount] = {}
    for held, ended_with in last.values():
        sums = reserved if ended_with is None else spent
        for part in held.parts:
            sums[part.key] = sums.get(part.key, NOTHING).plus(held.bound if ended_with is None else ended_with)
    return reserved, spent


Cashier.TestCase.settings = settings(max_examples=INTERLEAVINGS, stateful_step_count=30, deadline=None)
TestCashier = Cashier.TestCase
