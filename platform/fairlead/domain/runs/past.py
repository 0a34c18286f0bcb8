"""Calls as they were when they were requested, found again in a run's history."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from fairlead.domain.envelope import Recorded
from fairlead.domain.ids import CallId
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import evolve
from fairlead.domain.runs.places import NOT_SENT
from fairlead.domain.runs.states import Active, Ended, NotStarted, OpenCall, RunState


class PastCall(Struct, frozen=True, kw_only=True):
    """A call and its run just before it was judged for the first time, and what was said: `at` that time, in the
    commit `sequence`."""

    call: OpenCall
    run: Active
    at: Instant
    sequence: int
    judged: e.ToolCallJudged


class Unmade(Struct, frozen=True, kw_only=True):
    """From here on it is certain that the call was not made, though a policy let it: people denied it, or its run
    ended before."""

    call_id: CallId
    sequence: int


def as_judged(history: Iterable[Recorded[e.RunEvent]], call_id: CallId) -> PastCall | None:
    """None for a call that the run has not requested itself."""
    calls = (each for each in moments(history) if isinstance(each, PastCall))
    return next((past for past in calls if past.call.request.call_id == call_id), None)


def moments(history: Iterable[Recorded[e.RunEvent]]) -> Iterator[PastCall | Unmade]:
    """Each call when it was judged, and when it was certain that it is not made, in order. `history` is a run's, from
    its beginning; only one state is kept."""
    state: RunState = NotStarted()
    judged: set[CallId] = set()
    for recorded in history:
        for event in recorded.commit.events:
            if isinstance(event, e.ToolCallJudged) and isinstance(state, Active) and event.call_id not in judged:
                judged.add(event.call_id)
                call = state.calls[event.call_id]
                yield PastCall(call=call, run=state, at=recorded.commit.at, sequence=recorded.sequence, judged=event)
            state = evolve(state, event)
            if isinstance(event, e.ToolCallReleased) or (isinstance(event, e.ToolCallDenied) and event.by != "policy"):
                yield Unmade(call_id=event.call_id, sequence=recorded.sequence)
            if isinstance(state, Ended):
                left = state.last.calls.items()
                unsent = (call_id for call_id, call in left if call.phase in NOT_SENT)
                yield from (Unmade(call_id=call_id, sequence=recorded.sequence) for call_id in unsent)
                return
