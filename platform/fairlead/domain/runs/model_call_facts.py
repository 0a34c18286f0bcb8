"""How each fact about a model call changes what is remembered of its run."""

from msgspec.structs import replace

from fairlead.domain.ids import ModelCallId
from fairlead.domain.planning.seam import StepError, StepOutcome
from fairlead.domain.runs import events as e
from fairlead.domain.runs.answers import output_of
from fairlead.domain.runs.settling import settle_step, without
from fairlead.domain.runs.states import Active, OpenModelCall


def requested(s: Active, event: e.ModelCallRequested) -> Active:
    s = replace(
        s,
        model_calls=s.model_calls | {event.call_id: OpenModelCall(request=event)},
        model_calls_used=s.model_calls_used + 1,
    )
    if not event.step:
        return s
    return replace(s, open=s.open | {event.step: event.call_id}, steps_used=s.steps_used + 1, numbered=s.numbered + 1)


def routed(s: Active, event: e.ModelCallRouted) -> Active:
    call = s.model_calls[event.call_id]
    return _with(s, replace(call, phase="routed", attempt=event.attempt, routed=event, retry_at=None, held=None))


def held(s: Active, event: e.ModelCallHeld) -> Active:
    return _with(s, replace(s.model_calls[event.call_id], held=event))


def completed(s: Active, event: e.ModelCallCompleted) -> Active:
    call = s.model_calls.get(event.call_id)
    if call is None:
        return s
    s = _spent(s, event.cost_usd_micros, event.tokens)
    output = output_of(event.answer, event.finish, purpose=call.request.purpose, checked=_is_checked(call))
    return _settled(s, event.call_id, StepOutcome(status="completed", output=output))


def attempt_failed(s: Active, event: e.ModelCallAttemptFailed) -> Active:
    call = s.model_calls.get(event.call_id)
    if call is None:
        return s
    s = _spent(s, event.charged_usd_micros, event.charged_tokens)
    phase = "requested" if event.retry_at is None else "backing_off"
    failed = replace(call, attempt=event.attempt, routed=None, failed=(*call.failed, event), retry_at=event.retry_at)
    return _with(s, replace(failed, phase=phase))


def resumed(s: Active, event: e.ModelCallResumed) -> Active:
    return _with(s, replace(s.model_calls[event.call_id], phase="requested", retry_at=None))


def failed(s: Active, event: e.ModelCallFailed) -> Active:
    error = StepError(error_class=event.error_class, code=event.code, message=event.message)
    return _settled(s, event.call_id, StepOutcome(status="failed", error=error))


def refused(s: Active, event: e.ModelCallRefused) -> Active:
    error = StepError(error_class="policy", code=event.code, message=event.reason)
    return _settled(s, event.call_id, StepOutcome(status="denied", error=error))


def released(s: Active, event: e.ModelCallReleased) -> Active:
    """Its step is settled by the repair that follows."""
    return replace(s, model_calls=without(s.model_calls, event.call_id))


def _is_checked(call: OpenModelCall) -> bool:
    return bool(call.request.answer_schema_hash)


def _with(s: Active, call: OpenModelCall) -> Active:
    return replace(s, model_calls=s.model_calls | {call.request.call_id: call})


def _spent(s: Active, usd_micros: int, tokens: int) -> Active:
    return replace(s, cost_usd_micros=s.cost_usd_micros + usd_micros, tokens_used=s.tokens_used + tokens)


def _settled(s: Active, call_id: ModelCallId, outcome: StepOutcome) -> Active:
    call = s.model_calls.get(call_id)
    if call is None:
        return s
    s = replace(s, model_calls=without(s.model_calls, call_id))
    return settle_step(s, call.request.step, outcome) if call.request.step else s
