"""Refusals in the words of the wire that a client speaks: its library knows those, and no problem document."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from fairlead_sdk.models import Wire
from msgspec import Struct

_OPENAI, _ANTHROPIC = "/openai/", "/anthropic/"
_RETRIED = "x-should-retry"  # what the vendors' clients go by before they look at the status
_OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_encode = msgspec.json.Encoder().encode


class Refusal(Struct, frozen=True, kw_only=True):
    """`code` is ours, as on the timeline and in every problem document. `param` is where in the body it is wrong;
    `missing` the permission that whoever asked lacks."""

    status: int
    code: str
    message: str
    param: str = ""
    missing: str | None = None
    trace_id: str = ""
    retry_after_s: float | None = None


def wire_of(path: str) -> Wire | None:
    """Which wire is spoken at a path; None: that of our own API."""
    if path.startswith(_ANTHROPIC):
        return Wire.ANTHROPIC_MESSAGES
    if path.startswith(_OPENAI):
        return Wire.OPENAI_RESPONSES if path.endswith("/responses") else Wire.OPENAI_CHAT
    return None


def body_of(wire: Wire, refusal: Refusal) -> bytes:
    return _encode(_BODIES[wire](refusal))


def in_stream(wire: Wire, refusal: Refusal) -> bytes:
    """Once an answer has begun, an event is all that can tell of its end."""
    if wire is Wire.OPENAI_RESPONSES:
        failed = {"type": "error", "code": refusal.code, "message": refusal.message, "param": refusal.param or None}
        return event(failed)
    document = _BODIES[wire](refusal)
    return event(document) if wire is Wire.ANTHROPIC_MESSAGES else data(document)


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Clients ask again by themselves unless they are told not to; only a time to wait for says that it may help."""
    headers = {_RETRIED: "true" if refusal.retry_after_s is not None else "false"}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after_s)))
    return headers


def event(document: Mapping[str, Any]) -> bytes:
    """A server-sent event that says its type twice, as both wires with types have it."""
    return b"event: " + str(document["type"]).encode() + b"\n" + data(document)


def data(document: Mapping[str, Any]) -> bytes:
    return b"data: " + _encode(document) + b"\n\n"


def _openai(refusal: Refusal) -> dict[str, Any]:
    usual = "invalid_request_error" if refusal.status < 500 else "server_error"
    error = {
        "message": refusal.message,
        "type": _OPENAI_TYPES.get(refusal.status, usual),
        "param": refusal.param or None,
        "code": refusal.code,
    }
    return {"error": error | _missing(refusal)}


def _anthropic(refusal: Refusal) -> dict[str, Any]:
    usual = "invalid_request_error" if refusal.status < 500 else "api_error"
    error = {
        "type": _ANTHROPIC_TYPES.get(refusal.status, usual),
        "message": refusal.message,
        "code": refusal.code,
    }
    return {"type": "error", "error": error | _missing(refusal), "request_id": refusal.trace_id}


def _missing(refusal: Refusal) -> dict[str, str]:
    return {} if refusal.missing is None else {"missing": refusal.missing}


_BODIES: Mapping[Wire, Callable[[Refusal], dict[str, Any]]] = {
    Wire.OPENAI_CHAT: _openai,
    Wire.OPENAI_RESPONSES: _openai,
    Wire.ANTHROPIC_MESSAGES: _anthropic,
}
