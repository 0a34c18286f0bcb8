"""Request bodies: bounded, strictly typed, and refused with every path named and no value repeated."""

import json
import re
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers.base import BaseRouteHandler

from fairlead.api.problems import BodyTooLarge, MalformedBody, MediaTypeUnsupported, fault_message
from fairlead.domain.errors import Invalid, Problem

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64
JSON = "application/json"

# A string may be cut off: taking it to the end keeps the scan linear, and the decoder refuses it.
_NO_BRACKETS = re.compile(rb'"(?:[^"\\]|\\[\s\S])*+"?|[^\[\]{}"]++')
_PLACE = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class ApiRequest(Request[Any, Any, Any]):
    """Decodes a body straight into what the handler's `data` says; what was sent as another type is refused."""

    async def body(self) -> bytes:
        """Raises BodyTooLarge, MalformedBody when the caller goes away before its end."""
        try:
            return await super().body()
        except RequestEntityTooLarge:
            most = self.route_handler.resolve_request_max_body_size()
            raise BodyTooLarge(f"the body may have {most} bytes at most") from None
        except InternalServerException:
            raise MalformedBody("the body ended too early") from None

    async def json(self) -> Any:
        """Raises MediaTypeUnsupported, MalformedBody, Invalid."""
        if self.content_type[0] not in ("", JSON):
            raise MediaTypeUnsupported(f"the body must be {JSON}")
        return decoded(await self.body(), _decoder_of(self.route_handler))


@lru_cache(maxsize=1024)  # routes are fewer
def _decoder_of(handler: BaseRouteHandler) -> msgspec.json.Decoder[Any]:
    """Made once: finding out what a type asks for takes longer than decoding."""
    return msgspec.json.Decoder(handler.parsed_fn_signature.parameters["data"].raw)


_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def decoded(body: bytes, into: msgspec.json.Decoder[Any] = _ANYTHING) -> Any:
    """Raises MalformedBody, Invalid."""
    if is_deeper(body, MAX_DEPTH):
        raise MalformedBody(f"the body nests deeper than {MAX_DEPTH} levels")
    try:
        found = into.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid([problem_of(error)], "the body is not valid") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("the body is not JSON") from None
    if has_key_twice(body):
        raise Invalid([Problem(path="", message="a key stands twice", code="malformed")], "the body is not valid")
    return found


def has_key_twice(body: bytes) -> bool:
    """In any object of a JSON text that has been decoded already: who reads it and what decides would see different
    values."""
    try:
        _KEYS.decode(body.decode())
    except _Twice:
        return True
    return False


class _Twice(Exception):
    """A key stands twice."""


def _look(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _Twice


_KEYS = json.JSONDecoder(object_pairs_hook=_look, parse_int=str, parse_float=str)


def is_deeper(body: bytes, levels: int) -> bool:
    """Whether brackets nest deeper. Each round takes the innermost away; the decoder judges what is no JSON at all."""
    brackets = _NO_BRACKETS.sub(b"", body)
    for _ in range(levels):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return b"[]" in brackets or b"{}" in brackets or brackets.count(b"[") + brackets.count(b"{") > levels


def problem_of(error: msgspec.ValidationError) -> Problem:
    """`Expected `int`, got `str` - at `$.a[1]`` is at `/a/1`."""
    text = str(error)
    place = _PLACE.search(text)
    path = "".join(f"/{name or index}" for name, index in _STEP.findall(place[1])) if place else ""
    return Problem(path=path, message=fault_message(_PLACE.sub("", text)))
