"""A call that is not made gives back the places in tallies that it was given before it was judged."""

from fairlead.domain.ids import CallId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import Unfolding
from fairlead.domain.runs.states import Active, Ended, RunState

NOT_SENT = ("requested", "judged", "awaiting_approval")


def give_back(before: RunState, run: Unfolding) -> None:
    """After a decision: of calls that it denied or released, and of those that a run leaves behind unsent."""
    held: dict[CallId, dict[str, str]] = {}
    if isinstance(before, Active):
        held = {call_id: call.places for call_id, call in before.calls.items() if call.places}
    unmade: dict[CallId, None] = {}
    for fact in run.facts:
        match fact:
            case e.ToolCallJudged(call_id=call_id, places=places) if places:
                held[call_id] = held.get(call_id, {}) | places
            case e.ToolCallDenied(call_id=call_id) | e.ToolCallReleased(call_id=call_id):
                unmade[call_id] = None
            case _:
                pass
    if isinstance(before, Active) and isinstance(run.state, Ended):
        left = run.state.last.calls.items()
        unmade |= {call_id: None for call_id, call in left if call.phase in NOT_SENT}
    for call_id in unmade:
        if held.get(call_id):
            run.add(e.ToolCallUncounted(call_id=call_id, tallies=tuple(dict.fromkeys(held[call_id].values()))))
