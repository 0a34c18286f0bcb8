"""What an outside agent makes of a run that it drives: it asks for calls, and says how it ends."""

from msgspec.structs import replace

from fairlead.domain.errors import Invalid
from fairlead.domain.ids import CallId, child_id
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding
from fairlead.domain.runs.errors import (
    CallInFlight,
    CallsStillOpen,
    NotDrivenFromOutside,
    NotItsAgent,
    RunIsPaused,
    RunNotActive,
    TooManyAsks,
)
from fairlead.domain.runs.interventions import released
from fairlead.domain.runs.states import Active, Ask, Ended, RunState, requesters

PLANNER = "outside"
MAX_OPEN_ASKS = 100
_WAITS = ("awaiting_approval", "backing_off", "awaiting_connection")  # nobody makes it at this moment


def hear_agent(command: c.FromAgent, run: Unfolding, rules: RunRules) -> None:
    state = run.state
    assert isinstance(state, Active | Ended), "decide has refused what does not exist, or no more"
    last = state.last if isinstance(state, Ended) else state
    if rules.workflow.planner != PLANNER:
        raise NotDrivenFromOutside(f"the run is driven by its own planner: {rules.workflow.planner}")
    if command.principal_id not in requesters(last):
        raise NotItsAgent("tool:call", "only the run's starter and its agent ask for its calls and end it")
    if isinstance(command, c.AskCall) and command.ask_id in last.asked:
        return  # asking twice is not an error
    if isinstance(state, Ended):
        if not _has_ended_so(command, state):
            raise RunNotActive(last.run_id, state.outcome)
        return
    run.add(*_heard(command, state, rules))


def _heard(command: c.FromAgent, state: Active, rules: RunRules) -> list[e.RunEvent]:
    match command:
        case c.AskCall():
            return [_asked(command, state)]
        case c.WithdrawCall():
            return _withdrawn(command, state)
        case c.FinishRun():
            return [_finished(command, state, rules)]
        case c.GiveUpRun(reason=reason):
            return [e.RunImpossible(reason=redact_text(reason))]
        case c.FailRun(code=code, message=message):
            return [e.RunFailed(code=code, message=redact_text(message))]


def ask_of(state: RunState, ask_id: str) -> Ask:
    """After it has been asked."""
    assert isinstance(state, Active | Ended), "somebody asked for a call in it"
    return (state.last if isinstance(state, Ended) else state).asked[ask_id]


def _has_ended_so(command: c.FromAgent, state: Ended) -> bool:
    match command, state.ending:
        case c.FinishRun(output=output), e.RunCompleted(output=given):
            return bool(redact(output)[0] == given)
        case c.GiveUpRun(reason=reason), e.RunImpossible(reason=given):
            return redact_text(reason) == given
        case c.FailRun(code=code, message=message), e.RunFailed(code=was, message=given):
            return (code, redact_text(message)) == (was, given)
    return False


def _asked(command: c.AskCall, state: Active) -> e.ToolCallAsked:
    if len(state.asks) >= MAX_OPEN_ASKS:
        raise TooManyAsks(f"{MAX_OPEN_ASKS} calls of the run have no outcome yet")
    return e.ToolCallAsked(
        call_id=CallId(child_id("tcl", state.run_id, state.numbered + 1)),
        step=f"call[{len(state.asked)}]",
        ask_id=command.ask_id,
        tool=redact_text(command.tool),
        arguments=redact(command.arguments)[0],
        asked_by=command.principal_id,
        door=command.door,
    )


def _withdrawn(command: c.WithdrawCall, state: Active) -> list[e.RunEvent]:
    """Raises CallInFlight for one that a worker may be making. What is over stays as it is."""
    step = next((ask.step for ask in state.asked.values() if ask.call_id == command.call_id), None)
    if step not in state.asks:
        return []
    call, reason = state.calls.get(command.call_id), redact_text(command.reason)
    if call is not None and call.phase not in _WAITS:
        raise CallInFlight("the call is being made, or has been: it cannot be withdrawn any more")
    skipped = e.StepRepaired(step=step, repair="skipped", reason=reason)
    return [skipped] if call is None else [released(call, reason), skipped]


def _finished(command: c.FinishRun, state: Active, rules: RunRules) -> e.RunCompleted:
    if state.paused is not None:
        raise RunIsPaused("the run is paused: it is finished once it has been resumed")
    if state.asks or state.calls:
        raise CallsStillOpen(f"{len(state.asks)} calls have no outcome yet: wait for them, or give up")
    if problems := rules.output_problems(command.output):
        under = [replace(problem, path=f"/output{problem.path}") for problem in problems]
        raise Invalid(under, "the output does not fit the workflow")
    return e.RunCompleted(output=redact(command.output)[0])
