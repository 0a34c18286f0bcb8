"""Objects that are put and deleted. Both say how the object is to be, so doing it again changes nothing more."""

import base64
import binascii
from typing import Annotated, Any

from fairlead_sdk import BadArguments, Call, Effect, HttpAnswer, Idempotency, tool
from fairlead_sdk.answers import succeeded
from msgspec import Meta, Struct

from fairlead_objects.bucket import CALL_HEADER, Bucket, ObjectKey
from fairlead_objects.reading import Which

MAX_TEXT = 1024 * 1024
GONE = 404


class NewObject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `text` or `base64`."""

    key: ObjectKey
    media_type: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+(; ?charset=[a-zA-Z0-9-]+)?$")]
    text: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    base64: Annotated[str, Meta(max_length=2 * MAX_TEXT)] | None = None


class Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    etag: str
    size_bytes: int


class Deleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str


async def _is_stored(arguments: NewObject, call: Call) -> Stored | None:
    """Whether the object there is the one that this call put."""
    found = await _head(call, arguments.key)
    if found is None or found.headers.get(CALL_HEADER) != call.idempotency_key:
        return None
    return Stored(key=arguments.key, etag=found.headers.get("etag", ""), size_bytes=_size(found))


async def _is_deleted(arguments: Which, call: Call) -> Deleted | None:
    return Deleted(key=arguments.key) if await _head(call, arguments.key) is None else None


async def _replaced(arguments: NewObject, call: Call) -> dict[str, Any]:
    """What is there now, and what will be."""
    body = _body(arguments)
    return {
        "before": _shown(await _head(call, arguments.key)),
        "after": {"media_type": arguments.media_type, "size_bytes": len(body)},
    }


async def _lost(arguments: Which, call: Call) -> dict[str, Any]:
    return {"before": _shown(await _head(call, arguments.key)), "after": None}


@tool(
    "objects.put_object",
    title="Put an object",
    effect=Effect.WRITE,
    idempotency=Idempotency.NATURAL,
    writes=("object",),
    timeout_s=20.0,
    verify=_is_stored,
    preview=_replaced,
)
async def put_object(arguments: NewObject, call: Call) -> Stored:
    """Store an object under a key. One that is there is replaced."""
    body = _body(arguments)
    headers = {"content-type": arguments.media_type, CALL_HEADER: call.idempotency_key}
    answer = succeeded(await Bucket(call).ask("PUT", arguments.key, headers=headers, body=body), Effect.WRITE)
    return Stored(key=arguments.key, etag=answer.headers.get("etag", ""), size_bytes=len(body))


@tool(
    "objects.delete_object",
    title="Delete an object",
    effect=Effect.DESTRUCTIVE,
    idempotency=Idempotency.NATURAL,
    writes=("object",),
    timeout_s=20.0,
    verify=_is_deleted,
    preview=_lost,
)
async def delete_object(arguments: Which, call: Call) -> Deleted:
    """Delete an object for good. One that is not there is deleted already."""
    answer = await Bucket(call).ask("DELETE", arguments.key)
    if answer.status != GONE:
        succeeded(answer, Effect.DESTRUCTIVE)
    return Deleted(key=arguments.key)


async def _head(call: Call, key: str) -> HttpAnswer | None:
    answer = await Bucket(call).ask("HEAD", key)
    return None if answer.status == GONE else succeeded(answer, Effect.READ)


def _shown(found: HttpAnswer | None) -> dict[str, Any] | None:
    if found is None:
        return None
    headers = found.headers
    return {
        "media_type": headers.get("content-type", ""),
        "size_bytes": _size(found),
        "etag": headers.get("etag", ""),
        "modified_at": headers.get("last-modified", ""),
    }


def _size(found: HttpAnswer) -> int:
    length = found.headers.get("content-length", "")
    return int(length) if length.isdigit() else 0


def _body(arguments: NewObject) -> bytes:
    """Raises BadArguments."""
    match arguments.text, arguments.base64:
        case str() as text, None:
            return text.encode()
        case None, str() as packed:
            try:
                return base64.b64decode(packed, validate=True)
            except (binascii.Error, ValueError):
                raise BadArguments("base64 is none", "bad_base64") from None
        case _:
            raise BadArguments("give either text or base64", "bad_content")
