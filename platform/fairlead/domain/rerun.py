"""Decides a recorded run again, commit by commit, and names the first event that would have been another one.

What came from outside (outcomes, answers, signals, time) is taken as it was recorded; what the planner, the policy and
the limits made of it is decided anew.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from fairlead.domain.envelope import Recorded, position
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding
from fairlead.domain.runs.decide import go_on
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.states import Active, RunState, initial
from fairlead.domain.tallies import Place, Places, PlacesWanted, Want

# A decision reads its clock a moment before its commit is given its time.
CLOCKS_DIFFER = timedelta(seconds=30)

_DECIDED = (
    e.ChoiceMade,
    e.ToolCallAskRefused,
    e.ToolCallRequested,
    e.ToolCallJudged,
    e.ToolCallDispatched,
    e.ToolCallDenied,
    e.ToolCallFailed,
    e.ToolCallApprovalRequested,
    e.ModelCallRequested,
    e.QuestionAsked,
    e.SignalAwaited,
    e.TimeAwaited,
    e.LimitReached,
    e.RunCompleted,
    e.RunFailed,
    e.RunImpossible,
    e.RunExpired,
)
# What was found when an answer came, and not planned.
_FAILED_FROM_OUTSIDE = ("decision_too_large", "approval_expired", "readback_mismatch")
# What follows from those: undoing, and places in tallies that are given back.
_AFTERWARDS = (e.CompensationPlanned, e.CompensationDispatched, e.CompensationEnded, e.ToolCallUncounted)


class Parted(Struct, frozen=True, kw_only=True):
    """The first event that differs. None: there it is one event fewer or more."""

    position: str
    version: int
    recorded: dict[str, Any] | None
    decided: dict[str, Any] | None


class Rerun(Struct, frozen=True, kw_only=True):
    """`decided` events were decided again and came out as recorded, up to `parted`, if it did."""

    commits: int
    events: int
    decided: int
    parted: Parted | None = None


class KnowingRules(RunRules, Protocol):
    def with_places(self, places: Places) -> RunRules: ...


RulesAt = Callable[[Recorded[Any]], KnowingRules]
PlacesAt = Callable[[int, Sequence[Want]], Places]


def rerun(history: Sequence[Recorded[Any]], rules: RulesAt, places: PlacesAt) -> Rerun:
    """`history` is the run's own, from its beginning; `rules` are those of each commit, and `places` what tallies held
    then. Raises what `places` raises."""
    state: RunState = initial()
    commits = events = decided = 0
    for recorded in history:
        facts = list(recorded.commit.events)
        given, made = _split(facts, state)
        again = _decided(fold(state, given), rules(recorded), partial(places, recorded.sequence), recorded.commit.at)
        for index in range(max(len(made), len(again))):
            was = made[index] if index < len(made) else None
            now = again[index] if index < len(again) else None
            if was is None or now is None or not _same(was, now):
                parted = _parted(recorded, len(given) + index, was, now)
                return Rerun(commits=commits, events=events, decided=decided, parted=parted)
            decided += 1
        state = fold(state, facts)
        commits, events = commits + 1, events + len(facts)
    return Rerun(commits=commits, events=events, decided=decided)


def _decided(
    state: RunState, rules: KnowingRules, places: Callable[[Sequence[Want]], Places], now: datetime
) -> list[Any]:
    knowing: RunRules = rules
    known: dict[str, Place] = {}
    while isinstance(state, Active):
        run = Unfolding(state)
        try:
            go_on(run, knowing, now)
        except PlacesWanted as wanted:
            if all(want.tally in known for want in wanted.wants):
                raise  # an answer that settles nothing
            known |= places(wanted.wants)
            knowing = rules.with_places(known)
        else:
            return run.facts
    return []


def _split(facts: list[Any], state: RunState) -> tuple[list[Any], list[Any]]:
    """What came from outside, with what directly answers it, and what was decided after. Undoing is left out."""
    known = frozenset(state.calls) if isinstance(state, Active) else frozenset()
    by_limit = isinstance(facts[0], e.LimitReached)  # found when a model call was to be sent, and not planned
    ahead = next((index for index, fact in enumerate(facts) if isinstance(fact, _AFTERWARDS)), len(facts))
    given = (index + 1 for index, fact in enumerate(facts[:ahead]) if by_limit or _is_given(fact, known))
    end = max(given, default=1)
    return facts[:end], facts[end:ahead]


def _is_given(fact: Any, known: frozenset[Any]) -> bool:
    if isinstance(fact, e.QuestionAsked):
        return fact.purpose not in ("step", "limit")
    if isinstance(fact, e.GuardrailFound):
        return bool(fact.call_id)  # what a planner finds it says of a step
    if isinstance(fact, e.ModelCallRequested):
        return fact.door != "run"
    if isinstance(fact, e.RunFailed):
        return fact.code in _FAILED_FROM_OUTSIDE
    return not isinstance(fact, _DECIDED) or getattr(fact, "call_id", None) in known


def _same(was: Any, now: Any) -> bool:
    return type(was) is type(now) and _alike(_plain(was), _plain(now))


def _alike(was: Any, now: Any) -> bool:
    """Instants that follow from the moment of deciding are alike when the moments may have been the same."""
    match was, now:
        case datetime(), datetime():
            return abs(was - now) <= CLOCKS_DIFFER
        case dict(), dict():
            return was.keys() == now.keys() and all(_alike(was[key], now[key]) for key in was)
        case list() | tuple(), list() | tuple():  # what was read has lists where what is decided has tuples
            return len(was) == len(now) and all(map(_alike, was, now))
    return bool(was == now)


def _plain(event: Any) -> Any:
    return msgspec.to_builtins(event, builtin_types=(datetime,))


def _parted(recorded: Recorded[Any], index: int, was: Any, now: Any) -> Parted:
    return Parted(
        position=position(recorded.sequence, index),
        version=recorded.commit.first_version + index,
        recorded=None if was is None else msgspec.to_builtins(was),
        decided=None if now is None else msgspec.to_builtins(now),
    )
