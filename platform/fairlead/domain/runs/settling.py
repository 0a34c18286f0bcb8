"""What a run remembers once a call or a step of it is over."""

from typing import TypeVar

from msgspec.structs import replace

from fairlead.domain.ids import CallId
from fairlead.domain.planning.seam import StepError, StepOutcome
from fairlead.domain.runs import undoing as u
from fairlead.domain.runs.states import Active, OpenCall

K = TypeVar("K")
V = TypeVar("V")


def with_call(s: Active, call: OpenCall) -> Active:
    return replace(s, calls=s.calls | {call.request.call_id: call})


def with_effect(s: Active, effect: u.Effected) -> Active:
    return replace(s, effects=(*s.effects, effect))


def settle_call(s: Active, call_id: CallId, outcome: StepOutcome) -> Active:
    call = s.calls[call_id]
    s = replace(s, calls=without(s.calls, call_id))
    if call.replay is None:
        return settle_step(s, call.request.step, outcome)
    if outcome.status != "completed":
        return s
    return replace(s, letters=s.letters | {call_id: replace(s.letters[call_id], phase="done")})


def settle_step(s: Active, step: str, outcome: StepOutcome) -> Active:
    asks = without(s.asks, step) if s.asks else s.asks
    return replace(s, open=without(s.open, step), outcomes=s.outcomes | {step: outcome}, asks=asks)


def timed_out(s: Active, step: str) -> Active:
    error = StepError(error_class="timeout", code="timed_out", message="nobody answered in time")
    return settle_step(s, step, StepOutcome(status="timed_out", error=error))


def without(mapping: dict[K, V], key: K) -> dict[K, V]:
    return {k: v for k, v in mapping.items() if k != key}
