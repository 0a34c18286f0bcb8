"""Why a model gave no answer, and what whoever asked can do next. Nothing here quotes what a provider wrote: it may
repeat what it was asked."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

FailureClass = Literal[
    "transient",  # the same call may work later
    "rate_limited",  # it may, after a while that the provider says
    "timeout",
    "permission",  # a person has to give access again
    "permanent",
    "validation",  # the provider does not take what it was asked
    "content_refused",
    "context_too_long",
]
MAX_WAIT_S = 24 * 3600.0
MAX_ERROR_BYTES = 64 * 1024

_CODE = re.compile(r"[a-z0-9_.-]{1,64}")
_NUMBER = r"(\d+(?:\.\d+)?)"
_SPAN = re.compile(rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_TOO_LONG = re.compile(r"(?i)context[ _](?:length|window|limit)|prompt is too long|maximum context|too many tokens")
_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
_OF_STATUS: dict[int, FailureClass] = {
    400: "validation",
    401: "permission",
    402: "permission",
    403: "permission",
    408: "timeout",
    409: "transient",
    413: "validation",
    422: "validation",
    425: "transient",
    429: "rate_limited",
    504: "timeout",
}
_OF_CODE: dict[str, FailureClass] = {
    "context_length_exceeded": "context_too_long",
    "string_above_max_length": "context_too_long",
    "content_filter": "content_refused",
    "content_policy_violation": "content_refused",
    "insufficient_quota": "permission",  # waiting does not fill an account
    "billing_error": "permission",
    "authentication_error": "permission",
    "permission_error": "permission",
    "request_too_large": "validation",
    "not_found_error": "permanent",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "timeout_error": "timeout",
    "overloaded_error": "transient",
    "api_error": "transient",
    "server_error": "transient",
}


class Window(Struct, frozen=True, kw_only=True):
    """What is left of one limit, and when it is whole again."""

    kind: str  # requests, tokens, input_tokens, output_tokens
    limit: int | None = None
    remaining: int | None = None
    resets_in_s: float | None = None


class ModelFailed(Exception):
    """`may_be_charged`: the provider had the request, and nobody knows what it did with it. `windows` are the limits
    that its answer spoke of."""

    def __init__(
        self,
        error_class: FailureClass,
        code: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        windows: tuple[Window, ...] = (),
        may_be_charged: bool = False,
    ) -> None:
        super().__init__(message)
        self.error_class: FailureClass = error_class
        self.code = code
        self.retry_after_s = retry_after_s
        self.windows = windows
        self.may_be_charged = may_be_charged


def failure_of(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> ModelFailed:
    """Of an answer that is none. `headers` by lower-case name."""
    said = _error(body)
    code = _code(said) or f"http_{status}"
    error_class = _class(status, said)
    return ModelFailed(
        error_class,
        code,
        f"the provider answered {status} ({code})",
        retry_after_s=retry_after_s(headers, now),
        windows=windows_of(headers, now),
    )


def failure_in_stream(event: Mapping[str, Any]) -> ModelFailed | None:
    """Of an event of a stream that says it has failed; None for any other."""
    error = event.get("error")
    match event:
        case {"type": "response.failed", "response": {"error": dict(said)}}:
            error = said
        case {"type": "error", "code": str(code)}:
            error = {"code": code}
    if not isinstance(error, dict):
        return None
    code = _code(error) or "stream_failed"
    status = 400 if error.get("type") == "invalid_request_error" else 500
    return ModelFailed(
        _class(status, error), code, f"the provider ended its answer with an error ({code})", may_be_charged=True
    )


def _error(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body[:MAX_ERROR_BYTES], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}
    error = found.get("error", found)
    return error if isinstance(error, dict) else {}


def _code(error: Mapping[str, Any]) -> str:
    """Only what is a short word of theirs."""
    for name in ("code", "type"):
        if isinstance(word := error.get(name), str) and _CODE.fullmatch(word):
            return word
    return ""


def _class(status: int, error: Mapping[str, Any]) -> FailureClass:
    words = [word for name in ("code", "type") if isinstance(word := error.get(name), str)]
    message = error.get("message")
    if status in (400, 413, 422, 500) and isinstance(message, str) and _TOO_LONG.search(message):
        return "context_too_long"
    for word in words:
        if word in _OF_CODE:
            return _OF_CODE[word]
    server = status >= 500
    return _OF_STATUS.get(status, "transient" if server else "permanent")


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, milliseconds or a date, at most a day; None for what cannot be read."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return _bounded(seconds)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError):
        return None
    return _bounded((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def windows_of(headers: Mapping[str, str], now: datetime) -> tuple[Window, ...]:
    """Of `x-ratelimit-remaining-requests` and its like, and of `anthropic-ratelimit-requests-remaining` and its."""
    found: list[Window] = []
    for kind in _KINDS:
        limit, remaining, reset = (
            headers.get(f"x-ratelimit-{what}-{kind}", headers.get(f"anthropic-ratelimit-{kind}-{what}", ""))
            for what in ("limit", "remaining", "reset")
        )
        window = Window(
            kind=kind.replace("-", "_"),
            limit=_count(limit),
            remaining=_count(remaining),
            resets_in_s=_reset_s(reset, now),
        )
        if window.limit is not None or window.remaining is not None:
            found.append(window)
    return tuple(found)


def _reset_s(text: str, now: datetime) -> float | None:
    """`6m0s`, `120ms`, seconds, or an instant."""
    if (seconds := _number(text)) is not None:
        return _bounded(seconds)
    if text and len(text) <= 32 and (span := _SPAN.fullmatch(text)):
        each = zip(span.groups(), (86_400, 3_600, 60, 1, 0.001), strict=True)
        return _bounded(sum(float(number) * unit for number, unit in each if number))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _bounded((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_S)
