"""Calls as they were when they were requested, found again in a run's history."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from fairlead.domain.envelope import Recorded
from fairlead.domain.ids import CallId
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e
from fairlead.domain.runs.states import Active, Ended, NotStarted, OpenCall, RunState, evolve


class PastCall(Struct, frozen=True, kw_only=True):
    """A call and its run just before it was judged for the first time, and what was said. `at` is when."""

    call: OpenCall
    run: Active
    at: Instant
    judged: e.ToolCallJudged


def as_judged(history: Iterable[Recorded[e.RunEvent]], call_id: CallId) -> PastCall | None:
    """None for a call that the run has not requested itself."""
    return next((past for past in calls(history) if past.call.request.call_id == call_id), None)


def calls(history: Iterable[Recorded[e.RunEvent]]) -> Iterator[PastCall]:
    """Each call that was judged, in order. `history` is a run's, from its beginning; only one state is kept."""
    state: RunState = NotStarted()
    judged: set[CallId] = set()
    for recorded in history:
        for event in recorded.commit.events:
            if isinstance(event, e.ToolCallJudged) and isinstance(state, Active) and event.call_id not in judged:
                judged.add(event.call_id)
                call = state.calls[event.call_id]
                yield PastCall(call=call, run=state, at=recorded.commit.at, judged=event)
            state = evolve(state, event)
            if isinstance(state, Ended):
                return
