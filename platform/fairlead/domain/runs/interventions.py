"""What people and outside events change in a run: answers, signals, pauses, cancellations, repairs."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import CallId, ModelCallId
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding
from fairlead.domain.runs.errors import (
    CallInFlight,
    MayNotAnswer,
    NoSuchQuestion,
    NothingToRepair,
    RunNotActive,
    TooManySignals,
)
from fairlead.domain.runs.outcomes import completed, move_call
from fairlead.domain.runs.readback import mismatch_failed
from fairlead.domain.runs.sagas import answer_undo
from fairlead.domain.runs.states import Active, Ended, OpenCall, OpenModelCall

MAX_EARLY_SIGNALS = 100


def intervene(
    command: c.AnswerQuestion | c.SendSignal | c.Steering | c.RepairStep,
    run: Unfolding,
    rules: RunRules,
) -> None:
    state = run.state
    assert isinstance(state, Active | Ended), "decide has refused what does not exist, or no more"
    if isinstance(state, Ended):
        if isinstance(command, c.CancelRun) and state.outcome == "cancelled":
            return
        if isinstance(command, c.AnswerQuestion):
            answer_undo(command, run, rules)
            return
        raise RunNotActive(state.last.run_id, state.outcome)
    match command:
        case c.SendSignal():
            _receive(command, run)
        case c.AnswerQuestion():
            _answer(command, run, rules)
        case c.RepairStep():
            _repair(command, run, rules)
        case c.SuspendRun(hold=hold):
            if state.paused is None and hold is not None:
                move_call(hold, run, rules)
            run.add(*_steered(command, state))
        case c.PauseRun() | c.ResumeRun() | c.ReleaseRun() | c.CancelRun():
            run.add(*_steered(command, state))


def _steered(command: c.Steering, state: Active) -> list[e.RunEvent]:
    match command:
        case c.PauseRun(reason=reason):  # also of a run that a switch has paused: it is then for people to resume
            is_news = state.paused is None or bool(state.paused_by)
            return [e.RunPaused(reason=redact_text(reason))] if is_news else []
        case c.SuspendRun(switch=switch, reason=reason):
            return [e.RunPaused(reason=redact_text(reason), switch=switch)] if state.paused is None else []
        case c.ReleaseRun():
            return [e.RunResumed(reason=f"released: {state.paused_by}")] if state.paused_by else []
        case c.ResumeRun(reason=reason):
            return [e.RunResumed(reason=redact_text(reason))] if state.paused is not None else []
        case c.CancelRun(reason=reason):
            return [e.RunCancelled(reason=redact_text(reason))]


def _receive(command: c.SendSignal, run: Unfolding) -> None:
    state = run.active
    if command.signal_id in state.signal_ids:
        return
    awaited = any(each.name == command.name for each in state.signals_awaited.values())
    if not awaited and len(state.early_signals) >= MAX_EARLY_SIGNALS:
        raise TooManySignals(f"{MAX_EARLY_SIGNALS} signals wait already for a step to await them")
    payload, _ = redact(command.payload)
    run.add(e.SignalReceived(signal_id=command.signal_id, name=command.name, payload=payload))


def _answer(command: c.AnswerQuestion, run: Unfolding, rules: RunRules) -> None:
    asked = run.active.questions.get(command.question_id)
    if asked is None:
        raise NoSuchQuestion(command.question_id)
    if asked.roles and not set(asked.roles) & set(command.role_names):
        raise MayNotAnswer(f"role:{asked.roles[0]}", f"one of the roles {', '.join(asked.roles)} is required")
    if asked.schema is not None and (problems := rules.answer_problems(asked.schema, command.answer)):
        raise Invalid(problems, "the answer does not fit the question")
    _check_told_output(asked, command.answer, run.active, rules)
    answer, _ = redact(command.answer)
    run.add(e.QuestionAnswered(question_id=command.question_id, answer=answer, answered_by=command.principal_id))
    match asked.purpose:
        case "limit":
            _raise_limit(answer["raise_by"], run)
        case "outcome":
            _settle_outcome(answer, asked, run, command)
        case "mismatch" if answer["decision"] == "fail":
            run.add(mismatch_failed(asked.step))
        case "step" | "mismatch" | "compensation":
            pass


def _check_told_output(asked: e.QuestionAsked, answer: Any, state: Active, rules: RunRules) -> None:
    """What a person says that a tool gave is held to the tool's contract; they may also say that they do not know."""
    match asked.purpose, answer:
        case ("outcome", {"happened": True, "output": output}) | ("mismatch", {"decision": "keep", "output": output}):
            for call in state.calls.values():
                if call.request.step == asked.step:
                    _check_output(rules.tool_output_problems(call.request.tool, output))


def _check_output(problems: Sequence[Problem]) -> None:
    if problems:
        under = [replace(problem, path=f"/output{problem.path}") for problem in problems]
        raise Invalid(under, "the output is none that the step can have")


def _raise_limit(raise_by: int, run: Unfolding) -> None:
    reached = run.active.limit_reached
    if reached is None:
        return
    if raise_by == 0:
        run.add(e.RunCapped(limit=reached.limit, used=reached.used, allowed=reached.allowed))
    else:
        run.add(e.LimitRaised(limit=reached.limit, allowed=reached.allowed + raise_by))


def _settle_outcome(
    answer: dict[str, object], asked: e.QuestionAsked, run: Unfolding, command: c.AnswerQuestion
) -> None:
    """A person says whether a lost call took effect: then it is done, or it is made once more."""
    for call in run.active.calls.values():
        if call.request.step == asked.step and call.phase == "unknown":
            call_id = call.request.call_id
            if answer["happened"]:
                said = c.CallSucceeded(output=answer.get("output"), settled="person")
                seen = c.RecordOutcome(
                    call_id=call_id,
                    attempt=call.attempt,
                    outcome=said,
                    latency_us=0,
                    worker="",
                    now=command.now,
                )
                run.add(completed(seen, said, replayed=call.replay is not None))
            else:
                run.add(e.ToolCallDispatched(call_id=call_id, attempt=call.attempt + 1))
            return


def _repair(command: c.RepairStep, run: Unfolding, rules: RunRules) -> None:
    state = run.active
    if command.step not in state.open:
        raise NothingToRepair(f"step {command.step} is not waiting for anything")
    if (asked := state.model_calls.get(ModelCallId(state.open[command.step]))) is not None:
        _repair_thinking(command, asked, run)
        return
    call = state.calls.get(CallId(state.open[command.step]))
    if call is not None and call.phase in ("dispatched", "started", "verifying"):
        raise CallInFlight(f"step {command.step} is being carried out; pause the run or wait for its outcome")
    if call is not None and call.phase == "drifted":
        raise NothingToRepair(f"step {command.step} has taken effect; answer what is asked about it")
    if command.repair == "result_supplied":
        _check_output(_supplied_problems(command, state, call, rules))
    output, _ = redact(command.output)
    reason = redact_text(command.reason)
    repaired = e.StepRepaired(step=command.step, repair=command.repair, reason=reason, output=output)
    if command.repair != "retried":
        if call is not None:
            run.add(released(call, reason))
        run.add(repaired)
    elif call is not None and call.phase in ("backing_off", "unknown", "awaiting_connection"):
        run.add(repaired, e.ToolCallDispatched(call_id=call.request.call_id, attempt=call.attempt + 1))
    else:
        raise NothingToRepair(f"step {command.step} waits for a person, a signal or a time, not for a call")


def _repair_thinking(command: c.RepairStep, call: OpenModelCall, run: Unfolding) -> None:
    """A step that asks a model. One that has been sent will be answered, or given up by whoever sent it."""
    if call.phase == "routed":
        raise CallInFlight(f"step {command.step} is being carried out; pause the run or wait for its outcome")
    output, _ = redact(command.output)
    reason = redact_text(command.reason)
    repaired = e.StepRepaired(step=command.step, repair=command.repair, reason=reason, output=output)
    if command.repair != "retried":
        run.add(e.ModelCallReleased(call_id=call.request.call_id, reason=reason), repaired)
    elif call.phase == "backing_off":
        run.add(repaired, e.ModelCallResumed(call_id=call.request.call_id, attempt=call.attempt + 1))
    else:
        raise NothingToRepair(f"step {command.step} is about to be carried out")


def _supplied_problems(
    command: c.RepairStep, state: Active, call: OpenCall | None, rules: RunRules
) -> Sequence[Problem]:
    """What is wrong with a result given by hand, where the step says what its result is like."""
    if call is not None:
        return rules.tool_output_problems(call.request.tool, command.output)
    for asked in state.questions.values():
        if (asked.step, asked.purpose) == (command.step, "step") and asked.schema is not None:
            return rules.answer_problems(asked.schema, command.output)
    return []


def released(call: OpenCall, reason: str) -> e.ToolCallReleased:
    asked = call.approval if call.phase == "awaiting_approval" else None
    approval_id = asked.approval_id if asked is not None else None
    return e.ToolCallReleased(call_id=call.request.call_id, reason=reason, approval_id=approval_id)
