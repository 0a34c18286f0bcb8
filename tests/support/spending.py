"""Facts of runs that have cost something, as they look on the log."""

from typing import Any

from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import ModelCallId, child_id
from fairlead.domain.money import UsdMicros
from fairlead.domain.runs import events as e
from fairlead.domain.runs.events.thinking import TokensUsed


def model_call_of(run: StreamRef, number: int) -> ModelCallId:
    return ModelCallId(child_id("mcl", run.id, number))


def asked(run: StreamRef, number: int, route: str = "triage") -> e.ModelCallRequested:
    return e.ModelCallRequested(
        call_id=model_call_of(run, number),
        purpose="step",
        request={"messages": []},
        request_hash="0" * 64,
        max_input_tokens=1_000,
        max_output_tokens=500,
        attempts=3,
        step=f"m{number}",
        route=route,
    )


def answered(run: StreamRef, number: int, cost: int, **change: Any) -> e.ModelCallCompleted:
    complete: dict[str, Any] = {
        "attempt": 1,
        "provider": "anthropic",
        "model": "m-large",
        "answer": {"parts": []},
        "answer_hash": "0" * 64,
        "finish": "stop",
        "usage": TokensUsed(input=100, cached_input=40, cache_write=10, output=30, reasoning=5),
        "price_version": "shipped-1",
        "latency_us": 700_000,
        "first_token_us": 90_000,
    }
    return e.ModelCallCompleted(
        call_id=model_call_of(run, number), cost_usd_micros=UsdMicros(cost), **complete | change
    )


def attempt_failed(run: StreamRef, number: int, charged: int) -> e.ModelCallAttemptFailed:
    return e.ModelCallAttemptFailed(
        call_id=model_call_of(run, number),
        attempt=1,
        provider="anthropic",
        model="m-large",
        error_class="timeout",
        code="timeout",
        message="no answer",
        latency_us=9_000_000,
        charged_usd_micros=UsdMicros(charged),
        charged_tokens=1_500,
    )


def spent_in(events: list[Any]) -> int:
    """Everything that the facts of a run say was spent, counted from them and from nothing else."""
    costs = (getattr(event, "cost_usd_micros", 0) + getattr(event, "charged_usd_micros", 0) for event in events)
    return sum(costs)
