"""What becomes of a call: judged again, begun, denied, approved, and how it turned out."""

import hashlib
from datetime import timedelta

from fairlead_sdk.contract import Effect, Idempotency
from msgspec.structs import replace

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.ids import CallId, QuestionId, child_id
from fairlead.domain.policy.obligations import fulfilled
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding, judge
from fairlead.domain.runs.states import Active, Ended, OpenCall, RunState

MAX_MESSAGE = 2_000
MAX_RETRY_AFTER_S = 86_400.0
MAX_RECONNECTS = 20  # of one call; an account that is given so often and never works is a failure like another
OUTCOME_ANSWER = {
    "type": "object",
    "properties": {"happened": {"type": "boolean"}, "output": {}},
    "required": ["happened"],
    "additionalProperties": False,
}


def _open_call(state: RunState, call_id: CallId) -> OpenCall | None:
    match state:
        case Active(calls=calls) | Ended(last=Active(calls=calls)):
            return calls.get(call_id)
        case _:
            return None


def record_outcome(command: c.RecordOutcome, run: Unfolding) -> None:
    call = _open_call(run.state, command.call_id)
    if call is None or call.attempt != command.attempt or call.phase not in ("dispatched", "started", "unknown"):
        return
    was_unknown = call.phase == "unknown"
    if was_unknown:
        command = replace(command, fee_usd_micros=0)  # it was charged when nobody knew
    match command.outcome:
        case c.CallSucceeded() as succeeded:
            was_made = succeeded.settled == "call" and succeeded.cached is None
            verifying = _is_read_back(call) and was_made and isinstance(run.state, Active)
            kept = replace(succeeded, output=fulfilled(call.obligations, succeeded.output))
            run.add(completed(command, kept, verifying=verifying, replayed=call.replay is not None))
        case c.CallErred() as erred if isinstance(run.state, Active) and _is_unknown(erred, call):
            if not was_unknown:
                _ask_whether_it_happened(command, erred, call, run)
            return
        case c.CallErred() as erred if _waits_for_access(erred, call, run.state):
            run.add(_awaited(command, erred))
            return
        case c.CallErred() as erred:
            run.add(_failed(command, erred, call, run.state))
    if was_unknown:
        _drop_outcome_question(run, call)


def _is_read_back(call: OpenCall) -> bool:
    return call.request.verify or (call.obligations.verify and call.request.effect is not Effect.READ)


def _is_unknown(erred: c.CallErred, call: OpenCall) -> bool:
    """No answer to what was begun and cannot be repeated: whatever the class says, only people can tell."""
    begun_once = call.phase == "started" and call.request.idempotency is Idempotency.NONE
    return erred.error_class == "unknown_outcome" or (erred.unclear and begun_once)


def completed(
    command: c.RecordOutcome, succeeded: c.CallSucceeded, *, verifying: bool = False, replayed: bool = False
) -> e.ToolCallCompleted:
    safe, _ = redact(succeeded.output)
    return e.ToolCallCompleted(
        call_id=command.call_id,
        attempt=command.attempt,
        output=safe,
        output_sha256=canonical_sha256(safe),
        latency_us=command.latency_us,
        worker=command.worker,
        settled=succeeded.settled,
        verifying=verifying,
        replayed=replayed,
        cached=succeeded.cached,
        cost_usd_micros=command.fee_usd_micros,
    )


def _failed(command: c.RecordOutcome, erred: c.CallErred, call: OpenCall, state: RunState) -> e.ToolCallFailed:
    retry = call.request.retry
    again = isinstance(state, Active) and erred.error_class in retry.on and call.tried < retry.attempts
    return e.ToolCallFailed(
        call_id=command.call_id,
        attempt=command.attempt,
        error_class=erred.error_class,
        code=redact_text(erred.code)[:100],
        message=redact_text(erred.message)[:MAX_MESSAGE],
        latency_us=command.latency_us,
        worker=command.worker,
        retry_at=command.now + backoff(call, erred.retry_after_s) if again else None,
        unclear=erred.unclear,
        charged_usd_micros=command.fee_usd_micros,
    )


def _waits_for_access(erred: c.CallErred, call: OpenCall, state: RunState) -> bool:
    known = isinstance(state, Active) and bool(erred.connection_id)
    return known and call.phase in ("dispatched", "started") and call.reconnects < MAX_RECONNECTS


def _awaited(command: c.RecordOutcome, erred: c.CallErred) -> e.ToolCallConnectionAwaited:
    return e.ToolCallConnectionAwaited(
        call_id=command.call_id,
        attempt=command.attempt,
        connection_id=erred.connection_id,
        code=redact_text(erred.code)[:100],
        message=redact_text(erred.message)[:MAX_MESSAGE],
        scope=erred.scope,
    )


def restore_connection(command: c.ConnectionRestored, run: Unfolding) -> None:
    """Every call that waits for this account goes out again, where what was missing is there now."""
    if not isinstance(run.state, Active):
        return
    for call in run.state.calls.values():
        if call.phase == "awaiting_connection" and call.missing is not None and is_there(command, call.missing):
            run.add(e.ToolCallDispatched(call_id=call.request.call_id, attempt=call.attempt + 1))


def is_there(restored: c.ConnectionRestored, missing: e.ToolCallConnectionAwaited | e.CompensationFailed) -> bool:
    if missing.connection_id != restored.connection_id:
        return False
    return not missing.scope or (restored.granted is not None and missing.scope in restored.granted)


def backoff(call: OpenCall, retry_after_s: float | None) -> timedelta:
    """Full jitter: evenly spread over zero to the doubled ceiling, never before what the counterpart asked for.

    The spread comes from a hash of call and attempt, so that a decision stays a function of its inputs.
    """
    return spread(call.request.call_id, call.attempt, call.request.retry, retry_after_s)


def spread(key: str, attempt: int, retry: e.CallRetry, retry_after_s: float | None) -> timedelta:
    ceiling_ms = min(retry.max_ms, retry.initial_ms * 2 ** (attempt - 1))
    digest = hashlib.sha256(f"{key}/{attempt}".encode()).digest()
    jittered_ms = ceiling_ms * int.from_bytes(digest[:4], "big") / 2**32
    return timedelta(milliseconds=max(jittered_ms, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S) * 1000))


def _ask_whether_it_happened(command: c.RecordOutcome, erred: c.CallErred, call: OpenCall, run: Unfolding) -> None:
    state = run.active
    question_id = QuestionId(child_id("qst", state.run_id, state.numbered + 1))
    message = redact_text(erred.message)[:MAX_MESSAGE]
    run.add(
        e.ToolCallOutcomeUnknown(
            call_id=command.call_id,
            attempt=command.attempt,
            message=message,
            question_id=question_id,
            charged_usd_micros=command.fee_usd_micros,
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


def move_call(
    command: c.Moving,
    run: Unfolding,
    rules: RunRules,
) -> None:
    call = run.state.calls.get(command.call_id) if isinstance(run.state, Active) else None
    if call is None:
        return
    match command, call.phase:
        case c.MarkStarted(attempt=attempt, worker=worker), "dispatched" if attempt == call.attempt:
            run.add(e.ToolCallStarted(call_id=command.call_id, attempt=attempt, worker=worker))
        case c.HoldCall(attempt=attempt), "dispatched" | "started" if attempt == call.attempt and _is_news(
            command, call
        ):
            run.add(_held(command))
        case c.DenyCall(by=by, rule_id=rule_id, reason=reason), "dispatched":
            run.add(_denied(call, by, rule_id, reason))
        case c.RecordApproval() | c.RecordRefusal() | c.AmendCall(), "awaiting_approval":
            _hear_people(command, call, run, rules)
        case c.VoidApproval(), "dispatched" | "started":
            _judge_again(command, call, run, rules)
        case _:
            return


def _is_news(command: c.HoldCall, call: OpenCall) -> bool:
    """Once for each attempt; and that it was begun and not made, which takes back that it was begun."""
    return call.held is None or (command.untouched and call.phase == "started")


def _held(command: c.HoldCall) -> e.ToolCallHeld:
    return e.ToolCallHeld(
        call_id=command.call_id,
        attempt=command.attempt,
        held_for=command.held_for,
        subject=command.subject,
        until=command.until,
        untouched=command.untouched,
    )


def _denied(call: OpenCall, by: e.DeniedBy, rule_id: str, reason: str) -> e.ToolCallDenied:
    replayed = call.replay is not None
    return e.ToolCallDenied(call_id=call.request.call_id, by=by, rule_id=rule_id, reason=reason, replayed=replayed)


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


def _hear_people(
    command: c.RecordApproval | c.RecordRefusal | c.AmendCall, call: OpenCall, run: Unfolding, rules: RunRules
) -> None:
    if call.approval is None or call.approval.approval_id != command.approval_id:
        return
    match command:
        case c.RecordApproval():
            _approve(command, call, run)
        case c.RecordRefusal(reason=reason, then="skip"):
            _skip(call, reason, run)
        case c.RecordRefusal(reason=reason, by=by, then=then):
            run.add(_denied(call, by, call.rule_id, reason))
            if then == "end_run":
                run.add(e.RunFailed(code="approval_expired", message=reason, step=call.request.step))
        case c.AmendCall():
            _amend(command, call, run, rules)


def _skip(call: OpenCall, reason: str, run: Unfolding) -> None:
    """As if a person had skipped the step: its output is nothing, and the run goes on."""
    run.add(
        e.ToolCallReleased(call_id=call.request.call_id, reason=reason),
        e.StepRepaired(step=call.request.step, repair="skipped", reason=reason, output=None),
    )


def _amend(command: c.AmendCall, call: OpenCall, run: Unfolding, rules: RunRules) -> None:
    """They fitted when they were given; the tool may be another since."""
    arguments, _ = redact(command.arguments)
    run.add(
        e.ToolCallAmended(
            call_id=command.call_id,
            approval_id=command.approval_id,
            arguments=arguments,
            amended_by=command.amended_by,
            comment=redact_text(command.comment)[:MAX_MESSAGE],
        )
    )
    if problems := rules.argument_problems(call.request.tool, arguments):
        reason = f"the edited arguments do not fit the tool any more: {problems[0].path}: {problems[0].message}"
        run.add(_denied(call, "approval", call.rule_id, reason))
    else:
        judge(run, command.call_id, rules, command.now)


def _judge_again(command: c.VoidApproval, call: OpenCall, run: Unfolding, rules: RunRules) -> None:
    if call.approval is not None:
        approval_id = call.approval.approval_id
        run.add(e.ToolCallApprovalVoided(call_id=command.call_id, approval_id=approval_id, reason=command.reason))
    else:
        said = rules.judge(call, run.active, command.now)
        if (said.verdict, said.obligations) == ("allow", call.obligations):
            return  # it was allowed without anybody's consent, and still is
    judge(run, command.call_id, rules, command.now)
