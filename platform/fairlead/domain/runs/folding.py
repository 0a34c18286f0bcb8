"""How each fact changes a run. No rules here: whether something may happen was decide's question."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

from msgspec.structs import replace

from fairlead.domain.planning.seam import StepOutcome
from fairlead.domain.runs import call_facts as calls
from fairlead.domain.runs import events as e
from fairlead.domain.runs import model_call_facts as models
from fairlead.domain.runs import step_facts as steps
from fairlead.domain.runs import undoing as u
from fairlead.domain.runs.settling import settle_call
from fairlead.domain.runs.states import Active, Ended, Gone, NotStarted, Outcome, RunState, effects_of


def subject(state: RunState, facts: Iterable[e.RunEvent]) -> str:
    """Whose content it is. A fork's is its parent's."""
    known = fold(state, list(facts)[:1]) if isinstance(state, NotStarted) else state
    match known:
        case Active(start=start) | Ended(last=Active(start=start)):
            return start.data_subject
    return ""


def fold(state: RunState, facts: Iterable[e.RunEvent]) -> RunState:
    for fact in facts:
        state = evolve(state, fact)
    return state


def evolve(state: RunState, event: e.RunEvent) -> RunState:
    """Apply a fact. What went before the expiry of a run may be there in part, or not at all."""
    if isinstance(event, e.RunContentExpired):
        return Gone(expired=event)
    match state:
        case Active():
            if ending := ENDINGS.get(type(event)):
                return Ended(outcome=ending, ending=cast(e.RunEnding, event), last=state)
            return _ACTIVE[type(event)](state, event)
        case Ended():
            return _afterwards(state, event)
        case NotStarted():
            return _begin(event)
        case Gone():
            return state


def _afterwards(state: Ended, event: e.RunEvent) -> Ended:
    """The late outcome of a call that was in flight, or a step of the undoing."""
    match event:
        case e.ToolCallUncounted():
            return replace(state, last=calls.uncounted(state.last, event))
        case e.ToolCallEdited() | e.ToolCallReplayed() | e.ToolCallDiscarded():
            return replace(state, last=_ACTIVE[type(event)](state.last, event))
        case _ if type(event) in MODEL_CALLS:
            return replace(state, last=_ACTIVE[type(event)](state.last, event))
        case e.CompensationPlanned():
            return replace(state, undoing=u.planned(state.undoing, event, effects_of(state.last)))
        case e.ToolCallCompleted() | e.ToolCallFailed():
            last = _ACTIVE[type(event)](state.last, event)
            return replace(state, last=last, undoing=u.heard(state.undoing, event, effects_of(last)))
        case e.QuestionAsked() | e.QuestionAnswered() | e.QuestionExpired():
            last = _ACTIVE[type(event)](state.last, event)
            return replace(state, last=last, undoing=u.moved(state.undoing, event))
        case _:
            return replace(state, undoing=u.moved(state.undoing, event))


def _begin(event: e.RunEvent) -> Active:
    match event:
        case e.RunStarted():
            return Active(run_id=event.run_id, start=event, limits=event.limits, deadline_at=event.deadline_at)
        case e.RunForked():
            inherited = fold(NotStarted(), event.inherited)
            assert isinstance(inherited, Active), "only a run under way can be inherited"
            return _disown(inherited, event)
    raise AssertionError("a run begins with run.started or run.forked")


def _disown(parent: Active, event: e.RunForked) -> Active:
    """What the parent had in flight stays the parent's; the child plans those steps anew and uses its own room. A write
    that is only to be read back has happened. What the parent did is the parent's to undo."""
    for call_id, call in parent.calls.items():
        if call.phase in ("verifying", "drifted"):
            parent = settle_call(parent, call_id, StepOutcome(status="completed", output=call.output))
    in_flight = Counter(call.request.tool for call in parent.calls.values())
    return replace(
        parent,
        run_id=event.run_id,
        parent=event,
        deadline_at=event.deadline_at,
        calls_by_tool={tool: count - in_flight[tool] for tool, count in parent.calls_by_tool.items()},
        tool_calls_used=parent.tool_calls_used - len(parent.calls),
        model_calls_used=parent.model_calls_used - len(parent.model_calls),
        steps_used=parent.steps_used - len(parent.open),
        open={},
        calls={},
        model_calls={},
        questions={},
        signals_awaited={},
        times_awaited={},
        paused=None,
        limit_reached=None,
        effects=(),
        letters={},
        edits=parent.edits | event.edits,
    )


MODEL_CALLS: dict[type[e.RunEvent], Callable[[Active, Any], Active]] = {
    e.ModelCallRequested: models.requested,
    e.ModelCallRouted: models.routed,
    e.ModelCallHeld: models.held,
    e.ModelCallCompleted: models.completed,
    e.ModelCallAttemptFailed: models.attempt_failed,
    e.ModelCallResumed: models.resumed,
    e.ModelCallFailed: models.failed,
    e.ModelCallRefused: models.refused,
    e.ModelCallReleased: models.released,
    e.GuardrailFound: steps.unmoved,
}
_ACTIVE: dict[type[e.RunEvent], Callable[[Active, Any], Active]] = {  # dispatch by type: a match of 26 cases is slow
    e.ChoiceMade: steps.choice,
    e.ToolCallAsked: steps.call_asked,
    e.ToolCallAskRefused: steps.ask_refused,
    e.ToolCallRequested: calls.requested,
    e.ToolCallJudged: calls.judged,
    e.ToolCallUncounted: calls.uncounted,
    e.ToolCallDispatched: calls.dispatched,
    e.ToolCallHeld: calls.held,
    e.ToolCallStarted: calls.started,
    e.ToolCallCompleted: calls.completed,
    e.ToolCallVerified: calls.verified,
    e.ToolCallFailed: calls.failed,
    e.ToolCallConnectionAwaited: calls.connection_awaited,
    e.ToolCallOutcomeUnknown: calls.unknown,
    e.ToolCallDenied: calls.denied,
    e.ToolCallReleased: calls.released,
    e.ToolCallEdited: calls.edited,
    e.ToolCallReplayed: calls.replayed,
    e.ToolCallDiscarded: calls.discarded,
    e.ToolCallApprovalRequested: calls.approval_requested,
    e.ToolCallAmended: calls.amended,
    e.ToolCallApproved: calls.approved,
    e.ToolCallApprovalVoided: calls.voided,
    **MODEL_CALLS,
    e.QuestionAsked: steps.asked,
    e.QuestionAnswered: steps.answered,
    e.QuestionExpired: steps.question_expired,
    e.SignalAwaited: steps.signal_awaited,
    e.SignalReceived: steps.signal_received,
    e.SignalTimedOut: steps.signal_timed_out,
    e.TimeAwaited: steps.time_awaited,
    e.TimeElapsed: steps.time_elapsed,
    e.LimitReached: steps.limit_reached,
    e.LimitRaised: steps.limit_raised,
    e.StepRepaired: steps.repaired,
    e.IncidentReported: steps.unmoved,
    e.RunPaused: steps.paused,
    e.RunResumed: steps.resumed,
}
ENDINGS: dict[type, Outcome] = {
    e.RunCompleted: "completed",
    e.RunFailed: "failed",
    e.RunImpossible: "impossible",
    e.RunCancelled: "cancelled",
    e.RunCapped: "capped",
    e.RunExpired: "expired",
}
