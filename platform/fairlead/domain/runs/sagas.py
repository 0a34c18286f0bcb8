"""Undoing: what a run that did not complete has done is undone, newest first, each retried or put before people.

The end of the run stays its end. Undoing is what follows from it, as the late outcome of a call does.
"""

from datetime import timedelta
from typing import Any

from fairlead.domain.errors import Invalid
from fairlead.domain.ids import CallId, QuestionId, child_id
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding
from fairlead.domain.runs.errors import RunNotActive
from fairlead.domain.runs.outcomes import MAX_MESSAGE, is_there, spread
from fairlead.domain.runs.states import Active, Ended, RunState, effects_of
from fairlead.domain.runs.undoing import Effected, Undo

RETRY = e.CallRetry(
    attempts=8, initial_ms=1_000, max_ms=300_000, on=("transient", "timeout", "rate_limited", "unknown_outcome")
)
ASKS_OF_A_CALL = 4  # of the counterpart at most, each within the call's time: evidence, call, read-back, call again
GRACE = timedelta(seconds=5)
UNDO_SUFFIX = "-undo"
UNDO_ANSWER = {
    "type": "object",
    "properties": {
        "decision": {"enum": ["retry", "done_by_hand", "leave"]},
        "reason": {"type": "string", "minLength": 1, "maxLength": 500},
    },
    "required": ["decision"],
    "if": {"properties": {"decision": {"enum": ["done_by_hand", "leave"]}}},
    "then": {"required": ["reason"]},
    "additionalProperties": False,
}


def undo_key(call_id: CallId) -> str:
    """The idempotency key of undoing a call: its own, and the same across attempts."""
    return f"{call_id}{UNDO_SUFFIX}"


def go_on_undoing(run: Unfolding, now: Instant) -> None:
    """Plan what is not planned yet, and begin with the first unless it is begun."""
    state = _ended(run)
    if state.outcome == "completed":
        return
    if new := _not_planned(state, now):
        run.add(e.CompensationPlanned(calls=new))
    _begin_next(run, now)


def record_undo(command: c.RecordUndo, run: Unfolding) -> None:
    head = run.state.undoing.head if isinstance(run.state, Ended) else None
    if head is None or (head.call_id, head.attempt, head.phase) != (command.call_id, command.attempt, "dispatched"):
        return
    match command.outcome:
        case c.Undone(how=how):
            run.add(
                e.ToolCallCompensated(
                    call_id=command.call_id,
                    attempt=command.attempt,
                    how=how,
                    latency_us=command.latency_us,
                    worker=command.worker,
                )
            )
        case c.CallErred() as erred:
            _failed(command, erred, head, run)


def undo_with_access(command: c.ConnectionRestored, run: Unfolding) -> None:
    """What could not be undone for want of access is tried again, and nobody needs to answer for it."""
    head = run.state.undoing.head if isinstance(run.state, Ended) else None
    if head is None or head.phase != "with_person" or head.failure is None or head.question_id is None:
        return
    if is_there(command, head.failure):
        run.add(
            e.QuestionExpired(question_id=head.question_id),
            e.CompensationDispatched(call_id=head.call_id, attempt=head.attempt + 1),
        )


def undo_is_due(alarm: c.Alarm, state: Ended) -> list[e.RunEvent]:
    head = state.undoing.head
    if head is None or head.call_id != alarm.key or head.due_at != alarm.due_at:
        return []
    return [e.CompensationDispatched(call_id=head.call_id, attempt=head.attempt + 1)]


def answer_undo(command: c.AnswerQuestion, run: Unfolding, rules: RunRules) -> None:
    """A person says what becomes of an effect that could not be undone. Raises RunNotActive for any other question."""
    state = _ended(run)
    head = state.undoing.head
    if head is None or head.question_id != command.question_id or head.phase != "with_person":
        raise RunNotActive(state.last.run_id, state.outcome)
    if problems := rules.answer_problems(UNDO_ANSWER, command.answer):
        raise Invalid(problems, "the answer does not fit the question")
    answer, _ = redact(command.answer)
    run.add(e.QuestionAnswered(question_id=command.question_id, answer=answer, answered_by=command.principal_id))
    run.add(_decided(answer, head))


def undone_since(then: Active, now: RunState) -> list[CallId]:
    """What a run had done then and does not leave done."""
    if not isinstance(now, Ended):
        return []
    undoing = now.undoing
    not_left = undoing.gone | {undo.call_id for undo in undoing.queue}
    return [effect.request.call_id for effect in then.effects if effect.request.call_id in not_left]


def _decided(answer: Any, head: Undo) -> e.RunEvent:
    match answer["decision"]:
        case "retry":
            return e.CompensationDispatched(call_id=head.call_id, attempt=head.attempt + 1)
        case "leave":
            return e.CompensationLeft(call_id=head.call_id, reason=answer["reason"])
        case _:
            reason = answer["reason"]
            return e.ToolCallCompensated(call_id=head.call_id, attempt=head.attempt, how="person", reason=reason)


def _ended(run: Unfolding) -> Ended:
    assert isinstance(run.state, Ended), "only a run that has ended undoes"
    return run.state


def _not_planned(state: Ended, now: Instant) -> tuple[e.PlannedUndo, ...]:
    """Newest first. What was found not to have happened is planned again if it turns out that it has."""
    undoing = state.undoing
    known = {undo.call_id for undo in undoing.queue} | undoing.gone | undoing.left
    new = [
        effect
        for call_id, effect in effects_of(state.last).items()
        if call_id not in known and not (effect.doubtful and call_id in undoing.absent)
    ]
    return tuple(
        e.PlannedUndo(call_id=effect.request.call_id, not_before=_not_before(effect, state, now))
        for effect in reversed(new)
    )


def _not_before(effect: Effected, state: Ended, now: Instant) -> Instant | None:
    """A worker that was let through before the end may be at it for as long as its asks can take."""
    call = state.last.calls.get(effect.request.call_id)
    if not effect.doubtful or call is None or call.phase not in ("dispatched", "started"):
        return None
    return now + timedelta(seconds=ASKS_OF_A_CALL * effect.request.timeout_s) + GRACE


def _begin_next(run: Unfolding, now: Instant) -> None:
    undoing = _ended(run).undoing
    head = undoing.head
    if head is None:
        if undoing.is_open:
            run.add(e.CompensationEnded(undone=len(undoing.gone), left=len(undoing.left)))
    elif head.phase == "waiting" and (head.due_at is None or head.due_at <= now):
        run.add(e.CompensationDispatched(call_id=head.call_id, attempt=head.attempt + 1))


def _failed(command: c.RecordUndo, erred: c.CallErred, head: Undo, run: Unfolding) -> None:
    again = erred.error_class in RETRY.on and head.attempt < RETRY.attempts
    pause = spread(undo_key(head.call_id), head.attempt, RETRY, erred.retry_after_s)
    failed = e.CompensationFailed(
        call_id=head.call_id,
        attempt=head.attempt,
        error_class=erred.error_class,
        code=redact_text(erred.code)[:100],
        message=redact_text(erred.message)[:MAX_MESSAGE],
        latency_us=command.latency_us,
        worker=command.worker,
        retry_at=command.now + pause if again else None,
        connection_id=erred.connection_id,
        scope=erred.scope,
    )
    run.add(failed)
    if not again:
        _ask(failed, head, run)


def _ask(failed: e.CompensationFailed, head: Undo, run: Unfolding) -> None:
    request, last = head.effect.request, _ended(run).last
    fact = "It is not known whether it took effect" if head.effect.doubtful else "It took effect"
    message = f"{request.tool} of step {request.step} could not be undone: {failed.code}, {failed.message}"[
        :MAX_MESSAGE
    ]
    run.add(
        e.IncidentReported(kind="compensation_failed", call_id=head.call_id, step=request.step, message=message),
        e.QuestionAsked(
            question_id=QuestionId(child_id("qst", last.run_id, last.numbered + 1)),
            purpose="compensation",
            step=request.step,
            question=f"{message} {fact}. Try again, say that it is undone by hand, or leave it as it is?",
            schema=UNDO_ANSWER,
        ),
    )
