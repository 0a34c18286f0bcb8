"""A request to a model as a fact: bounded, redacted, and named by its hash."""

from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.ids import ModelCallId
from fairlead.domain.models.asking import DEFAULT_MAX_OUTPUT_TOKENS, ModelCandidate, PromptUsed, most_input_tokens
from fairlead.domain.models.recording import request_hash
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.redaction import redact
from fairlead.domain.runs.events import AskedThrough, ModelCallRequested, Purpose

MAX_ATTEMPTS = 10


def asked_of_model(
    request: ModelRequest,
    *,
    call_id: ModelCallId,
    purpose: Purpose,
    step: str = "",
    route: str = "",
    candidates: tuple[ModelCandidate, ...] = (),
    prompt: PromptUsed | None = None,
    tools: tuple[str, ...] = (),
    checked: bool = False,
    attempts: int = 3,
    timeout_s: float | None = None,
    door: AskedThrough = "run",
) -> ModelCallRequested:
    bounded = with_bound(request)
    schema = bounded.answer.document if checked and bounded.answer is not None else None
    return ModelCallRequested(
        call_id=call_id,
        purpose=purpose,
        request=kept(bounded),
        request_hash=request_hash(bounded),
        max_input_tokens=most_input_tokens(bounded),
        max_output_tokens=_max_output_tokens(bounded),
        attempts=min(max(attempts, 1), MAX_ATTEMPTS),
        step=step,
        route=route,
        candidates=candidates,
        prompt=prompt,
        tools=tools,
        door=door,
        answer_schema_hash=canonical_sha256(schema) if schema is not None else "",
        timeout_s=timeout_s,
    )


def with_bound(request: ModelRequest) -> ModelRequest:
    """What bounds its answer, said where nobody has: what has no bound cannot be reserved."""
    bound = _max_output_tokens(request)
    return replace(request, sampling=replace(request.sampling, max_output_tokens=bound))


def most_tokens(request: ModelRequest) -> int:
    """Of one attempt."""
    bounded = with_bound(request)
    return most_input_tokens(bounded) + _max_output_tokens(bounded)


def kept(request: ModelRequest) -> dict[str, Any]:
    """As it is recorded. Schemas are left as they are: they name fields that would be secrets, and hold none."""
    plain: dict[str, Any] = msgspec.to_builtins(request)
    said = {name: plain[name] for name in ("messages", "extra") if name in plain}
    return {**plain, **redact(said)[0]}


def request_of(asked: ModelCallRequested) -> ModelRequest:
    """Raises msgspec.ValidationError where its content was erased."""
    return msgspec.convert(asked.request, ModelRequest)


def _max_output_tokens(request: ModelRequest) -> int:
    return request.sampling.max_output_tokens or DEFAULT_MAX_OUTPUT_TOKENS
