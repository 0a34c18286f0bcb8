"""What becomes of a model call: sent, held, refused, answered, failed, and what it counts for."""

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.errors import Problem
from fairlead.domain.ids import ModelCallId
from fairlead.domain.instant import Instant
from fairlead.domain.models.answer import Usage
from fairlead.domain.money import UsdMicros
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding, model_limit, stop_at
from fairlead.domain.runs.answers import text_of, value_in
from fairlead.domain.runs.errors import RunIsPaused, RunNotActive
from fairlead.domain.runs.outcomes import MAX_MESSAGE, spread
from fairlead.domain.runs.states import Active, Ended, OpenModelCall, RunState

RETRY = e.CallRetry(initial_ms=1_000, max_ms=60_000)
LOST = "attempt_lost"
_LOST_MESSAGE = "whoever asked is gone; the provider may have answered"


def think(command: c.Thinking, run: Unfolding, rules: RunRules) -> None:
    match command:
        case c.BeginModelCall():
            _begin(command, run)
        case c.RouteModelCall():
            _route(command, run)
        case c.HoldModelCall():
            _hold(command, run)
        case c.RecordModelAnswer():
            _answered(command, run, rules)
        case c.RecordModelFailure():
            _failed(command, run)
        case c.RefuseModelCall():
            _refuse(command, run)
        case _:
            assert_never(command)


def lost_at(call: OpenModelCall | None, due_at: Instant) -> list[e.RunEvent]:
    """A call of a door whose attempt was to be over by then: nobody asks for it again."""
    if call is None or call.routed is None or call.routed.until != due_at:
        return []
    failed = _attempt_lost(call, call.routed)
    return [failed, _for_good(call, failed)]


def _begin(command: c.BeginModelCall, run: Unfolding) -> None:
    """Raises RunNotActive, RunIsPaused."""
    state, requested, routed = run.state, command.requested, command.routed
    if isinstance(state, Ended):
        raise RunNotActive(state.last.run_id, state.outcome)
    state = run.active
    if command.now >= state.deadline_at:
        run.add(e.RunExpired(deadline_at=state.deadline_at))
    elif state.paused is not None or state.limit_reached is not None:
        raise RunIsPaused("the run is paused, or waits for more room: ask once it goes on")
    elif requested.call_id not in state.model_calls:
        cost = routed.reserved_usd_micros if isinstance(routed, e.ModelCallRouted) else 0
        reached = model_limit(state, requested.max_tokens) or _cost_limit(state, cost)
        if reached is not None:
            stop_at(reached, run)
        else:
            run.add(requested, *command.found, routed)


def _route(command: c.RouteModelCall, run: Unfolding) -> None:
    routed = command.routed
    call = _open(run.state, routed.call_id)
    if call is None or not run.is_moving():
        return
    state = run.active
    if command.now >= state.deadline_at:
        run.add(e.RunExpired(deadline_at=state.deadline_at))
        return
    if call.routed is not None:
        if not command.lost or routed.attempt != call.attempt + 1:
            return
        _take_for_lost(call, call.routed, run)
    elif call.phase != "requested" or routed.attempt != call.attempt + 1:
        return
    if routed.call_id not in run.active.model_calls:
        return
    if (reached := _cost_limit(run.active, routed.reserved_usd_micros)) is not None:
        stop_at(reached, run)
    else:
        run.add(*command.found, routed)


def _take_for_lost(call: OpenModelCall, routed: e.ModelCallRouted, run: Unfolding) -> None:
    """What may have been charged for it counts as spent."""
    failed = _attempt_lost(call, routed)
    run.add(failed)
    if call.tries >= call.request.attempts:
        run.add(_for_good(call, failed))


def _attempt_lost(call: OpenModelCall, routed: e.ModelCallRouted) -> e.ModelCallAttemptFailed:
    return e.ModelCallAttemptFailed(
        call_id=call.request.call_id,
        attempt=call.attempt,
        provider=routed.provider,
        model=routed.model,
        candidate=routed.candidate,
        error_class="transient",
        code=LOST,
        message=_LOST_MESSAGE,
        latency_us=0,
        charged_usd_micros=routed.reserved_usd_micros,
        charged_tokens=call.request.max_tokens,
    )


def _cost_limit(state: Active, most_usd_micros: int) -> e.LimitReached | None:
    """What is under way counts with the most that it can cost."""
    allowed = state.limits.cost_usd_micros
    used = state.cost_usd_micros + sum(call.reserved_usd_micros for call in state.model_calls.values())
    if most_usd_micros and used + most_usd_micros > allowed:
        return e.LimitReached(limit="cost_usd_micros", used=used, allowed=allowed)
    return None


def cost_left(state: Active) -> int:
    """What the run may still spend, beside what is under way."""
    used = state.cost_usd_micros + sum(call.reserved_usd_micros for call in state.model_calls.values())
    return max(0, state.limits.cost_usd_micros - used)


def _hold(command: c.HoldModelCall, run: Unfolding) -> None:
    call = _open(run.state, command.call_id)
    if call is None or not isinstance(run.state, Active) or call.phase != "requested" or call.held is not None:
        return
    run.add(
        e.ModelCallHeld(
            call_id=command.call_id, held_for=command.held_for, subject=command.subject, until=command.until
        )
    )


def _answered(command: c.RecordModelAnswer, run: Unfolding, rules: RunRules) -> None:
    call = _under_way(run.state, command.call_id, command.attempt)
    if call is None or call.routed is None:
        return
    answer = _kept(command)
    problems = _problems(call, answer, rules)
    if problems:
        _misfits(command, call, call.routed, problems, run)
        return
    run.add(
        *command.found,
        e.ModelCallCompleted(
            call_id=command.call_id,
            attempt=command.attempt,
            provider=call.routed.provider,
            model=redact_text(command.answer.model)[:200] or call.routed.model,
            answer=answer,
            answer_hash=canonical_sha256(answer),
            finish=command.answer.finish.reason,
            usage=_tokens(command.answer.usage),
            tokens=_counted(command, call),
            cost_usd_micros=command.cost_usd_micros,
            price_version=call.routed.price_version,
            latency_us=command.latency_us,
            first_token_us=command.first_token_us,
            streamed=command.streamed,
            cached=command.cached,
            saved_usd_micros=command.saved_usd_micros,
            worker=command.worker,
        ),
    )


def _kept(command: c.RecordModelAnswer) -> dict[str, Any]:
    plain: dict[str, Any] = redact(msgspec.to_builtins(command.answer))[0]
    return plain


def _tokens(usage: Usage | None) -> e.TokensUsed | None:
    if usage is None:
        return None
    return e.TokensUsed(
        input=usage.input_tokens,
        cached_input=usage.cached_input_tokens,
        cache_write=usage.cache_write_tokens,
        output=usage.output_tokens,
        reasoning=usage.reasoning_tokens,
    )


def _counted(command: c.RecordModelAnswer, call: OpenModelCall) -> int:
    """What it used, or where nobody said, the most that it can have used."""
    used = _tokens(command.answer.usage)
    if command.cached:
        return 0
    return used.all if used is not None else call.request.max_tokens


def _problems(call: OpenModelCall, answer: Any, rules: RunRules) -> Sequence[Problem]:
    """Why it is not what was asked for, where that is checked."""
    if not call.request.answer_schema_hash:
        return ()
    value, is_json = value_in(text_of(answer))
    if not is_json:
        return (Problem(path="", message="the answer is no JSON", code="not_json"),)
    asked = call.request.request
    schema = asked.get("answer", {}).get("document") if isinstance(asked, dict) else None
    return rules.answer_problems(schema, value) if isinstance(schema, dict) else ()


def _misfits(
    command: c.RecordModelAnswer,
    call: OpenModelCall,
    routed: e.ModelCallRouted,
    problems: Sequence[Problem],
    run: Unfolding,
) -> None:
    """It was given and has cost what it has; another attempt may do better."""
    first = problems[0]
    failed = e.ModelCallAttemptFailed(
        call_id=command.call_id,
        attempt=command.attempt,
        provider=routed.provider,
        model=routed.model,
        candidate=routed.candidate,
        error_class="validation",
        code="answer_invalid",
        message=f"the answer does not fit its schema at {first.path or 'the top'}: {first.message}"[:MAX_MESSAGE],
        latency_us=command.latency_us,
        charged_usd_micros=command.cost_usd_micros,
        charged_tokens=_counted(command, call),
        worker=command.worker,
    )
    run.add(*command.found, failed)
    if call.tries >= call.request.attempts or not isinstance(run.state, Active):
        run.add(_for_good(call, failed))


def _failed(command: c.RecordModelFailure, run: Unfolding) -> None:
    call = _under_way(run.state, command.call_id, command.attempt)
    if call is None or call.routed is None:
        return
    over = command.then == "nothing" or call.tries >= call.request.attempts or not isinstance(run.state, Active)
    pause = spread(command.call_id, command.attempt, RETRY, command.retry_after_s)
    failed = e.ModelCallAttemptFailed(
        call_id=command.call_id,
        attempt=command.attempt,
        provider=call.routed.provider,
        model=call.routed.model,
        candidate=call.routed.candidate,
        error_class=command.error_class,
        code=redact_text(command.code)[:100],
        message=redact_text(command.message)[:MAX_MESSAGE],
        latency_us=command.latency_us,
        charged_usd_micros=command.charged_usd_micros,
        charged_tokens=command.charged_tokens,
        retry_at=command.now + pause if command.then == "again" and not over else None,
        worker=command.worker,
    )
    run.add(failed)
    if over:
        run.add(_for_good(call, failed))


def _for_good(call: OpenModelCall, last: e.ModelCallAttemptFailed) -> e.ModelCallFailed:
    return e.ModelCallFailed(
        call_id=call.request.call_id,
        error_class=last.error_class,
        code=last.code,
        message=last.message,
        attempts=last.attempt,
    )


def _refuse(command: c.RefuseModelCall, run: Unfolding) -> None:
    call = _open(run.state, command.call_id)
    if call is None or call.phase != "requested":
        return
    reason = redact_text(command.reason)[:MAX_MESSAGE]
    refused = e.ModelCallRefused(call_id=command.call_id, by=command.by, code=command.code, reason=reason)
    run.add(*command.found, refused)


def answer_too_large(report: c.RecordModelAnswer) -> c.RecordModelFailure:
    """Instead of an answer that no commit can hold: it was given, and has cost what it has."""
    used = _tokens(report.answer.usage)
    return c.RecordModelFailure(
        call_id=report.call_id,
        attempt=report.attempt,
        error_class="permanent",
        code="answer_too_large",
        message="the model answered; its answer is more than one commit can hold",
        latency_us=report.latency_us,
        worker=report.worker,
        now=report.now,
        then="nothing",
        charged_usd_micros=UsdMicros(report.cost_usd_micros),
        charged_tokens=used.all if used is not None else 0,
    )


def due(call: OpenModelCall | None, due_at: Instant) -> list[e.RunEvent]:
    """The pause before the next attempt is over: its order is made from the state."""
    if call is None or call.phase != "backing_off" or call.retry_at != due_at:
        return []
    return [e.ModelCallResumed(call_id=call.request.call_id, attempt=call.attempt + 1)]


def _open(state: RunState, call_id: ModelCallId) -> OpenModelCall | None:
    match state:
        case Active(model_calls=calls) | Ended(last=Active(model_calls=calls)):
            return calls.get(call_id)
        case _:
            return None


def _under_way(state: RunState, call_id: ModelCallId, attempt: int) -> OpenModelCall | None:
    call = _open(state, call_id)
    return call if call is not None and call.phase == "routed" and call.attempt == attempt else None
