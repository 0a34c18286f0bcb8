"""Errors as RFC 9457 problem documents. The one place where an error has an HTTP number.

A problem says what a caller can do, and never repeats a value that was sent or anything from inside.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import structlog
from fairlead_sdk.models import Wire
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Meta, Struct

from fairlead.api.live_events import TooManyStreams
from fairlead.api.methods import allowed_methods
from fairlead.api.rate_limit import RateLimited
from fairlead.api.wire_errors import Refusal, body_of, headers_of, wire_of
from fairlead.domain import errors
from fairlead.domain.redaction import redact_text
from fairlead.domain.runs.errors import RunContentGone
from fairlead.domain.tenants.errors import CredentialRefused

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:fairlead:problem:"
_log = structlog.get_logger()


class Fault(Struct, frozen=True):
    """One thing that is wrong with what was sent."""

    path: Annotated[str, Meta(description="JSON Pointer into the body, or `/` and the name of a parameter.")]
    message: str
    code: str


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `code` is the last part of `type`; `errors` lists everything that is wrong with what was sent."""

    type: Annotated[str, Meta(description="Stable name of the problem: a URN that ends in its code.")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    instance: Annotated[str, Meta(description="The path that was asked for.")]
    code: str
    trace_id: Annotated[str, Meta(description="What to look for in logs and traces.")]
    errors: tuple[Fault, ...] = ()
    missing: Annotated[str | None, Meta(description="The permission that is missing.")] = None


class MalformedBody(errors.FairleadError):
    """The body is not what its content type says: not JSON, cut off, or nested too deeply."""

    code = "malformed_body"


class BodyTooLarge(errors.FairleadError):
    """The body is larger than this endpoint takes."""

    code = "body_too_large"


class MediaTypeUnsupported(errors.FairleadError):
    """The endpoint takes another content type."""

    code = "unsupported_media_type"


class TooManyHeaders(errors.FairleadError):
    """The request has more header fields than are taken."""

    code = "too_many_headers"


class NotSignedIn(errors.FairleadError):
    """The request carries no credential: send an API key as `Authorization: Bearer flk_…`."""

    code = "not_signed_in"


class PreconditionFailed(errors.FairleadError):
    """The document has changed since the version that `If-Match` names: read it again."""

    code = "precondition_failed"


class KeyReused(errors.FairleadError):
    """The idempotency key was used for another request; a key stands for one request."""

    code = "idempotency_key_reused"


class Overloaded(errors.FairleadError):
    """More than can be taken now; nothing was done. Ask again after `Retry-After`."""

    code = "overloaded"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TryAgain(errors.FairleadError):
    """Another request is in the way for a moment. Ask again after `Retry-After`."""

    code = "try_again"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


STATUS_OF: Mapping[type[errors.FairleadError], int] = {
    RunContentGone: 410,
    errors.Rejected: 409,
    errors.StreamMoved: 409,
    errors.Invalid: 422,
    errors.NotFound: 404,
    errors.Denied: 403,
    errors.Unavailable: 503,
    CredentialRefused: 401,
    NotSignedIn: 401,
    MalformedBody: 400,
    BodyTooLarge: 413,
    MediaTypeUnsupported: 415,
    TooManyHeaders: 431,
    PreconditionFailed: 412,
    KeyReused: 422,
    TryAgain: 409,
    RateLimited: 429,
    Overloaded: 429,
    TooManyStreams: 429,
}
# What the framework says by itself, before anything of ours is asked.
CODE_OF_STATUS: Mapping[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    500: "internal",
}
_QUOTES_A_VALUE = re.compile(r"Invalid enum value.*", re.DOTALL)


def status_of(error: type[errors.FairleadError]) -> int:
    return next((STATUS_OF[base] for base in error.__mro__ if base in STATUS_OF), 500)


def type_of(code: str) -> str:
    return TYPE_PREFIX + code


def answer_to_error(request: Request[Any, Any, Any], error: errors.FairleadError) -> Response[bytes]:
    """Anything that this program raises on purpose."""
    status = status_of(type(error))
    if status == 500:
        return answer_to_fault(request, error)
    faults = tuple(Fault(each.path, each.message, each.code) for each in getattr(error, "problems", ()))
    document = _document(
        request, status, error.code, str(error), errors=faults, missing=getattr(error, "missing", None)
    )
    headers: dict[str, str] = {}
    if (retry_after_s := getattr(error, "retry_after_s", None)) is not None:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="fairlead"'
    return _response(document, headers, retry_after_s)


def answer_to_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework found wrong by itself: no such route, a parameter that does not fit."""
    if error.status_code >= 500:
        return answer_to_fault(request, error)
    if isinstance(error.extra, list) and error.extra:
        faults = tuple(_parameter_fault(request, each) for each in error.extra)
        return _response(_document(request, 422, "invalid_input", "the request is not valid", errors=faults))
    code = CODE_OF_STATUS.get(error.status_code, "bad_request")
    allowed = {"Allow": allowed_methods(request.app, request.scope["path"])} if error.status_code == 405 else {}
    return _response(_document(request, error.status_code, code, _phrase(error.status_code)), allowed)


def answer_to_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of ours. The log has what happened; the caller gets the trace id to ask about it."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    _log.error(
        "request_failed",
        error=type(error).__name__,
        file=place.tb_frame.f_code.co_filename.rpartition("/")[2] if place else None,
        line=place.tb_lineno if place else None,
    )
    return _response(_document(request, 500, "internal", "something went wrong on our side"))


def fault_message(message: str) -> str:
    """What the decoder says, without a value that it may quote."""
    return _QUOTES_A_VALUE.sub("is none of the values that are allowed", message)


def _parameter_fault(request: Request[Any, Any, Any], found: Mapping[str, str]) -> Fault:
    """Under the name that was sent, which may not be the handler's."""
    name = found.get("key", "")
    parameter = request.route_handler.parsed_fn_signature.parameters.get(name)
    sent = getattr(parameter.kwarg_definition, "name", None) if parameter else None
    return Fault(f"/{sent or name}", fault_message(found["message"]), "invalid")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase.lower()


def _document(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[Fault, ...] = (),
    missing: str | None = None,
) -> ProblemDocument:
    return ProblemDocument(
        type=type_of(code),
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=redact_text(request.scope["path"]),
        code=code,
        trace_id=request.scope["state"]["trace"].trace_id,
        errors=errors,
        missing=missing,
    )


def _response(
    document: ProblemDocument, headers: dict[str, str] | None = None, retry_after_s: float | None = None
) -> Response[bytes]:
    if (wire := wire_of(document.instance)) is not None:
        return _on_wire(wire, document, headers or {}, retry_after_s)
    body = msgspec.json.encode(document)
    return Response(body, status_code=document.status, media_type=MEDIA_TYPE, headers=headers or {})


def _on_wire(
    wire: Wire, document: ProblemDocument, headers: dict[str, str], retry_after_s: float | None
) -> Response[bytes]:
    """For clients of a vendor's wire, which read no problem documents."""
    refusal = Refusal(
        status=document.status,
        code=document.code,
        message=document.detail,
        missing=document.missing,
        trace_id=document.trace_id,
        retry_after_s=retry_after_s,
    )
    return Response(
        body_of(wire, refusal),
        status_code=document.status,
        media_type="application/json",
        headers=headers_of(refusal) | headers,
    )


HANDLERS: dict[int | type[Exception], Any] = {
    errors.FairleadError: answer_to_error,
    HTTPException: answer_to_framework,
    Exception: answer_to_fault,
}
