"""Some processes, each late in hearing of what the others did: whatever they try, these hold."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fairlead.domain import breakers as b
from tests.support.clock import T0
from tests.unit.breakers.test_breaker_decisions import begin, trip

PROCESSES = 3
LEASE_S = 10.0
process = st.integers(0, PROCESSES - 1)


class Breaker(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.history: list[tuple[float, b.BreakerEvent]] = []
        self.heard = [(0, 0.0)] * PROCESSES  # how many facts each has heard of, and when it heard the last
        self.out: dict[int, float] = {}  # probes that have not reported, and when they began

    @property
    def state(self) -> b.BreakerState:
        return self.fold(len(self.history))

    def fold(self, count: int) -> b.BreakerState:
        state = b.initial()
        for _, event in self.history[:count]:
            state = b.evolve(state, event)
        return state

    def ask(self, command: b.BreakerCommand) -> list[b.BreakerEvent]:
        facts = b.decide(command, self.state)
        self.history += [(self.now_s, fact) for fact in facts]
        return facts

    @rule(seconds=st.sampled_from([0.0, 0.5, 4.9, 5.0, 9.9, 10.0, 30.0, 700.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def somebody_counted_enough(self) -> None:
        self.ask(trip(self.now_s))

    @rule(who=process)
    def one_hears_of_everything(self, who: int) -> None:
        if self.heard[who][0] < len(self.history):
            self.heard[who] = (len(self.history), self.now_s)

    @rule(who=process)
    def one_asks_to_probe(self, who: int) -> None:
        count, since_s = self.heard[who]
        match self.fold(count):
            case b.Open(opened=opened):
                asked = begin(self.now_s - since_s, opened.opening, f"w{who}")
            case b.HalfOpen(opened=opened, probing=probing):
                asked = begin(self.now_s - since_s, opened.opening, f"w{who}", probing.probe)
            case _:
                return
        before_s, before = self.history[-1]
        for fact in self.ask(asked):
            assert isinstance(fact, b.BreakerProbing)
            if isinstance(before, b.BreakerOpened):
                assert self.now_s - before_s >= before.cooling_s, "it has cooled, whoever's clock one asks"
            assert all(self.now_s - began_s >= LEASE_S for began_s in self.out.values()), "one probe at a time"
            self.out[fact.probe] = self.now_s

    @precondition(lambda self: self.out)
    @rule(data=st.data(), fine=st.booleans())
    def a_probe_reports(self, data: st.DataObject, fine: bool) -> None:
        probe = data.draw(st.sampled_from(sorted(self.out)))
        before = self.state
        now = T0 + timedelta(seconds=self.now_s)
        facts = self.ask(b.ReportProbe(probe=probe, now=now, failed=None if fine else ("timeout", "timeout")))
        is_newest = isinstance(before, b.HalfOpen) and before.probing.probe == probe
        assert bool(facts) == is_newest
        if facts and not fine:
            assert isinstance(before, b.HalfOpen)
            assert isinstance(self.state, b.Open)
            assert self.state.opened.in_a_row == before.opened.in_a_row + 1
        del self.out[probe]

    @precondition(lambda self: self.history)
    @rule()
    def a_person_resets_it(self) -> None:
        self.ask(b.ResetBreaker(reason="", now=T0 + timedelta(seconds=self.now_s)))
        assert isinstance(self.state, b.Closed)
        self.out.clear()  # whatever they find now is told to nobody

    @invariant()
    def it_is_open_from_the_first_opening_to_a_close(self) -> None:
        last = self.history[-1][1] if self.history else None
        assert isinstance(self.state, b.Closed) == (last is None or isinstance(last, b.BreakerClosed))

    @invariant()
    def cooling_stays_within_its_bounds(self) -> None:
        for _, event in self.history:
            if isinstance(event, b.BreakerOpened):
                assert b.COOLING_S <= event.cooling_s <= b.MAX_COOLING_S


Breaker.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaker = Breaker.TestCase
