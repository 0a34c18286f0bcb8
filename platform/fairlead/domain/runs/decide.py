"""The answer to each command: what happens, as facts. Changes nothing, reads no clock.

Asking twice is not an error: a stale alarm, a second report of an outcome, a signal already seen give no facts.
Effects that happened are recorded even after the run has ended; the log must say so.
"""

import hashlib
from datetime import timedelta
from typing import assert_never

from msgspec.structs import replace

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.errors import Invalid
from fairlead.domain.ids import CallId, QuestionId, child_id
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding, advance, judge
from fairlead.domain.runs.errors import (
    CallInFlight,
    ForkPointInvalid,
    MayNotAnswer,
    NoSuchQuestion,
    NoSuchRun,
    NothingToRepair,
    RunAlreadyExists,
    RunNotActive,
    TooManySignals,
)
from fairlead.domain.runs.states import Active, Ended, NotStarted, OpenCall, RunState, fold

MAX_EARLY_SIGNALS = 100
MAX_MESSAGE = 2_000
MAX_RETRY_AFTER_S = 86_400.0
OUTCOME_ANSWER = {
    "type": "object",
    "properties": {"happened": {"type": "boolean"}, "output": {}},
    "required": ["happened"],
    "additionalProperties": False,
}


def decide(command: c.RunCommand, state: RunState, rules: RunRules) -> list[e.RunEvent]:
    """Say what happens. Raises the errors of runs/errors.py and Invalid for an answer that breaks its schema."""
    run = Unfolding(state)
    if isinstance(command, c.CutShort):
        _answer_to(command.command, run, rules)
        if run.facts and isinstance(run.state, Active):
            run.add(e.RunFailed(code="decision_too_large", message="what follows is more than one commit can hold"))
        return run.facts
    _answer_to(command, run, rules)
    if run.facts and isinstance(run.state, Active):
        _go_on(run, rules, command.now)
    return run.facts


def smaller(command: c.RunCommand) -> c.RunCommand | None:
    """What to decide instead when a decision does not fit into one commit; None: refuse the command.

    What has happened outside is recorded in any case; only then is an output given up, and never an input.
    """
    match command:
        case c.StartRun() | c.ForkRun():
            return None
        case c.CutShort(command=c.RecordOutcome(outcome=c.CallSucceeded()) as report):
            message = "the call was made; its output is more than one commit can hold"
            erred = c.CallErred(error_class="permanent", code="output_too_large", message=message)
            return replace(report, outcome=erred)
        case c.CutShort():
            return None
        case _:
            return c.CutShort(command=command, now=command.now)


def _answer_to(command: c.RunCommand, run: Unfolding, rules: RunRules) -> None:
    state = run.state
    match command:
        case c.StartRun():
            _start(command, run)
        case c.ForkRun():
            _fork(command, run)
        case _ if isinstance(state, NotStarted):
            raise NoSuchRun("no such run")
        case c.RecordOutcome():
            _record_outcome(command, run)
        case c.MarkStarted() | c.DenyCall() | c.RecordApproval() | c.RecordRefusal() | c.VoidApproval():
            _move_call(command, run, rules)
        case c.FireAlarm():
            _fire(command, run)
        case c.AnswerQuestion() | c.SendSignal() | c.PauseRun() | c.ResumeRun() | c.CancelRun() | c.RepairStep():
            _intervene(command, run, rules)
        case c.CutShort():
            raise AssertionError("nothing is cut short twice")
        case _:
            assert_never(command)


def _go_on(run: Unfolding, rules: RunRules, now: Instant) -> None:
    if now >= run.active.deadline_at:
        run.add(e.RunExpired(deadline_at=run.active.deadline_at))
    else:
        advance(run, rules, now)


def _start(command: c.StartRun, run: Unfolding) -> None:
    match run.state:
        case NotStarted():
            given, labels = redact(command.started.input)[0], redact(command.started.labels)[0]
            run.add(replace(command.started, input=given, labels=labels))
        case Active(parent=parent, start=start) | Ended(last=Active(parent=parent, start=start)):
            if parent is not None or start.workflow_hash != command.started.workflow_hash:
                raise RunAlreadyExists("a run of this id was started otherwise")


def _fork(command: c.ForkRun, run: Unfolding) -> None:
    match run.state:
        case Active(parent=parent) | Ended(last=Active(parent=parent)):
            made = (command.parent_run_id, command.parent_version)
            if parent is None or (parent.parent_run_id, parent.parent_version) != made:
                raise RunAlreadyExists("a run of this id was started otherwise")
            return
    if not command.inherited or not isinstance(fold(NotStarted(), command.inherited), Active):
        raise ForkPointInvalid(f"version {command.parent_version} is not a point within the parent's life")
    run.add(
        e.RunForked(
            run_id=command.run_id,
            parent_run_id=command.parent_run_id,
            parent_version=command.parent_version,
            inherited=command.inherited,
            forked_by=command.forked_by,
            reason=redact_text(command.reason),
            started_at=command.now,
            deadline_at=command.deadline_at,
        )
    )


# --- outcomes of calls ---------------------------------------------------------------------------------------------


def _open_call(state: RunState, call_id: CallId) -> OpenCall | None:
    match state:
        case Active(calls=calls) | Ended(last=Active(calls=calls)):
            return calls.get(call_id)
        case _:
            return None


def _record_outcome(command: c.RecordOutcome, run: Unfolding) -> None:
    call = _open_call(run.state, command.call_id)
    if call is None or call.attempt != command.attempt or call.phase not in ("dispatched", "started", "unknown"):
        return
    was_unknown = call.phase == "unknown"
    match command.outcome:
        case c.CallSucceeded(output=output, settled=settled):
            run.add(_completed(command, output, settled))
        case c.CallErred(error_class="unknown_outcome") as erred if isinstance(run.state, Active):
            if not was_unknown:
                _ask_whether_it_happened(command, erred, call, run)
            return
        case c.CallErred() as erred:
            run.add(_failed(command, erred, call, run.state))
    if was_unknown:
        _drop_outcome_question(run, call)


def _completed(command: c.RecordOutcome, output: object, settled: e.SettledHow) -> e.ToolCallCompleted:
    safe, _ = redact(output)
    return e.ToolCallCompleted(
        call_id=command.call_id,
        attempt=command.attempt,
        output=safe,
        output_sha256=canonical_sha256(safe),
        latency_us=command.latency_us,
        worker=command.worker,
        settled=settled,
    )


def _failed(command: c.RecordOutcome, erred: c.CallErred, call: OpenCall, state: RunState) -> e.ToolCallFailed:
    retry = call.request.retry
    again = isinstance(state, Active) and erred.error_class in retry.on and call.attempt < retry.attempts
    return e.ToolCallFailed(
        call_id=command.call_id,
        attempt=command.attempt,
        error_class=erred.error_class,
        code=redact_text(erred.code)[:100],
        message=redact_text(erred.message)[:MAX_MESSAGE],
        latency_us=command.latency_us,
        worker=command.worker,
        retry_at=command.now + backoff(call, erred.retry_after_s) if again else None,
    )


def backoff(call: OpenCall, retry_after_s: float | None) -> timedelta:
    """Full jitter: evenly spread over zero to the doubled ceiling, never before what the counterpart asked for.

    The spread comes from a hash of call and attempt, so that a decision stays a function of its inputs.
    """
    retry = call.request.retry
    ceiling_ms = min(retry.max_ms, retry.initial_ms * 2 ** (call.attempt - 1))
    digest = hashlib.sha256(f"{call.request.call_id}/{call.attempt}".encode()).digest()
    jittered_ms = ceiling_ms * int.from_bytes(digest[:4], "big") / 2**32
    return timedelta(milliseconds=max(jittered_ms, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S) * 1000))


def _ask_whether_it_happened(command: c.RecordOutcome, erred: c.CallErred, call: OpenCall, run: Unfolding) -> None:
    state = run.active
    question_id = QuestionId(child_id("qst", state.run_id, state.numbered + 1))
    message = redact_text(erred.message)[:MAX_MESSAGE]
    run.add(
        e.ToolCallOutcomeUnknown(
            call_id=command.call_id, attempt=command.attempt, message=message, question_id=question_id
        ),
        e.QuestionAsked(
            question_id=question_id,
            purpose="outcome",
            step=call.request.step,
            question=f"Did {call.request.tool} take effect? Its answer was lost ({message}).",
            schema=OUTCOME_ANSWER,
        ),
    )


def _drop_outcome_question(run: Unfolding, call: OpenCall) -> None:
    if not isinstance(run.state, Active):
        return
    for question_id, asked in run.state.questions.items():
        if asked.purpose == "outcome" and asked.step == call.request.step:
            run.add(e.QuestionExpired(question_id=question_id))
            return


# --- what becomes of a call before and instead of its outcome -------------------------------------------------------


def _move_call(
    command: c.MarkStarted | c.DenyCall | c.RecordApproval | c.RecordRefusal | c.VoidApproval,
    run: Unfolding,
    rules: RunRules,
) -> None:
    call = run.state.calls.get(command.call_id) if isinstance(run.state, Active) else None
    if call is None:
        return
    match command, call.phase:
        case c.MarkStarted(attempt=attempt, worker=worker), "dispatched" if attempt == call.attempt:
            run.add(e.ToolCallStarted(call_id=command.call_id, attempt=attempt, worker=worker))
        case c.DenyCall(by=by, rule_id=rule_id, reason=reason), "dispatched":
            run.add(e.ToolCallDenied(call_id=command.call_id, by=by, rule_id=rule_id, reason=reason))
        case c.RecordApproval(), "awaiting_approval":
            _approve(command, call, run)
        case c.RecordRefusal(approval_id=approval_id, reason=reason), "awaiting_approval":
            if call.approval is not None and call.approval.approval_id == approval_id:
                denied = e.ToolCallDenied(call_id=command.call_id, by="approval", rule_id=call.rule_id, reason=reason)
                run.add(denied)
        case c.VoidApproval(), "dispatched" | "started":
            _judge_again(command, call, run, rules)
        case _:
            return


def _approve(command: c.RecordApproval, call: OpenCall, run: Unfolding) -> None:
    asked = call.approval
    if asked is None or asked.approval_id != command.approval_id or asked.digest != command.digest:
        return
    run.add(
        e.ToolCallApproved(
            call_id=command.call_id,
            approval_id=command.approval_id,
            approved_by=command.approved_by,
            fingerprint=command.fingerprint,
        ),
        e.ToolCallDispatched(call_id=command.call_id, attempt=call.attempt + 1),
    )


def _judge_again(command: c.VoidApproval, call: OpenCall, run: Unfolding, rules: RunRules) -> None:
    if call.approval is not None:
        approval_id = call.approval.approval_id
        run.add(e.ToolCallApprovalVoided(call_id=command.call_id, approval_id=approval_id, reason=command.reason))
    elif rules.judge(call, run.active, command.now).verdict == "allow":
        return  # it was allowed without anybody's consent, and still is
    judge(run, command.call_id, rules, command.now)


# --- time ------------------------------------------------------------------------------------------------------------


def _fire(command: c.FireAlarm, run: Unfolding) -> None:
    state = run.state
    if isinstance(state, Active) and command.now >= command.alarm.due_at:
        run.add(*_rung(command.alarm, state, command.now))


def _rung(alarm: c.Alarm, state: Active, now: Instant) -> list[e.RunEvent]:
    match alarm.kind:
        case "retry":
            return _retried(state.calls.get(CallId(alarm.key)), alarm.due_at)
        case "question":
            asked = state.questions.get(QuestionId(alarm.key))
            return [e.QuestionExpired(question_id=asked.question_id)] if asked else []
        case "signal":
            return [e.SignalTimedOut(step=alarm.key)] if alarm.key in state.signals_awaited else []
        case "time":
            return [e.TimeElapsed(step=alarm.key)] if alarm.key in state.times_awaited else []
        case "deadline":
            return [e.RunExpired(deadline_at=state.deadline_at)] if now >= state.deadline_at else []


def _retried(call: OpenCall | None, due_at: Instant) -> list[e.RunEvent]:
    if call is None or call.phase != "backing_off" or call.retry_at != due_at:
        return []
    return [e.ToolCallDispatched(call_id=call.request.call_id, attempt=call.attempt + 1)]


# --- people and outside events ---------------------------------------------------------------------------------------


def _intervene(
    command: c.AnswerQuestion | c.SendSignal | c.PauseRun | c.ResumeRun | c.CancelRun | c.RepairStep,
    run: Unfolding,
    rules: RunRules,
) -> None:
    state = run.state
    assert not isinstance(state, NotStarted), "decide has refused a run that does not exist"
    if isinstance(state, Ended):
        if isinstance(command, c.CancelRun) and state.outcome == "cancelled":
            return
        raise RunNotActive(state.last.run_id, state.outcome)
    match command:
        case c.SendSignal():
            _receive(command, run)
        case c.AnswerQuestion():
            _answer(command, run, rules)
        case c.RepairStep():
            _repair(command, run)
        case c.PauseRun() | c.ResumeRun() | c.CancelRun():
            run.add(*_steered(command, state))


def _steered(command: c.PauseRun | c.ResumeRun | c.CancelRun, state: Active) -> list[e.RunEvent]:
    match command:
        case c.PauseRun(reason=reason):
            return [e.RunPaused(reason=redact_text(reason))] if state.paused is None else []
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
    answer, _ = redact(command.answer)
    run.add(e.QuestionAnswered(question_id=command.question_id, answer=answer, answered_by=command.principal_id))
    match asked.purpose:
        case "limit":
            _raise_limit(answer["raise_by"], run)
        case "outcome":
            _settle_outcome(answer, asked, run, command)
        case "step":
            pass


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
                seen = c.RecordOutcome(
                    call_id=call_id,
                    attempt=call.attempt,
                    outcome=c.CallSucceeded(output=answer.get("output"), settled="person"),
                    latency_us=0,
                    worker="",
                    now=command.now,
                )
                run.add(_completed(seen, answer.get("output"), "person"))
            else:
                run.add(e.ToolCallDispatched(call_id=call_id, attempt=call.attempt + 1))
            return


def _repair(command: c.RepairStep, run: Unfolding) -> None:
    state = run.active
    if command.step not in state.open:
        raise NothingToRepair(f"step {command.step} is not waiting for anything")
    call = state.calls.get(CallId(state.open[command.step]))
    if call is not None and call.phase in ("dispatched", "started"):
        raise CallInFlight(f"step {command.step} is being carried out; pause the run or wait for its outcome")
    output, _ = redact(command.output)
    reason = redact_text(command.reason)
    repaired = e.StepRepaired(step=command.step, repair=command.repair, reason=reason, output=output)
    if command.repair != "retried":
        if call is not None:
            run.add(_released(call, reason))
        run.add(repaired)
    elif call is not None and call.phase in ("backing_off", "unknown"):
        run.add(repaired, e.ToolCallDispatched(call_id=call.request.call_id, attempt=call.attempt + 1))
    else:
        raise NothingToRepair(f"step {command.step} waits for a person, a signal or a time, not for a call")


def _released(call: OpenCall, reason: str) -> e.ToolCallReleased:
    asked = call.approval if call.phase == "awaiting_approval" else None
    approval_id = asked.approval_id if asked is not None else None
    return e.ToolCallReleased(call_id=call.request.call_id, reason=reason, approval_id=approval_id)
