"""Objects are put, read, listed and deleted. Whatever changes one says how it is to be, so again does no harm."""

import base64
import binascii
from typing import Annotated, Any

from fairlead_sdk import BadArguments, Call, Effect, Idempotency, Refused, tool
from fairlead_sdk.objects import StoredObject
from msgspec import Meta, Struct

MAX_TEXT = 1024 * 1024
MAX_OBJECT_BYTES = 2 * 1024 * 1024

ObjectKey = Annotated[str, Meta(min_length=1, max_length=250, pattern=r"^[^\x00-\x1f\x7f]+$")]
MediaType = Annotated[
    str, Meta(max_length=200, pattern=r"^[a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+(; ?charset=[a-zA-Z0-9-]+)?$")
]


class Which(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: ObjectKey


class NewObject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `text` or `base64`."""

    key: ObjectKey
    media_type: MediaType
    text: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    base64: Annotated[str, Meta(max_length=2 * MAX_TEXT)] | None = None


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after` is `next` of the page before."""

    prefix: Annotated[str, Meta(max_length=250)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    after: Annotated[str, Meta(max_length=250)] = ""


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    media_type: str
    size_bytes: int
    sha256: str
    stored_at: str


class Content(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text` where it is UTF-8, else `base64`."""

    key: str
    media_type: str
    size_bytes: int
    sha256: str
    stored_at: str
    text: str | None
    base64: str | None


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    objects: list[Entry]
    next: str | None


class Deleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str


async def _is_stored(arguments: NewObject, call: Call) -> Entry | None:
    """Whether the object there is the one that this call put."""
    found = await call.objects.look(arguments.key)
    return _entry(found) if found is not None and found.put_under == call.idempotency_key else None


async def _is_deleted(arguments: Which, call: Call) -> Deleted | None:
    return Deleted(key=arguments.key) if await call.objects.look(arguments.key) is None else None


async def _replaced(arguments: NewObject, call: Call) -> dict[str, Any]:
    """What is there now, and what will be."""
    after = {"media_type": arguments.media_type, "size_bytes": len(_body(arguments))}
    return {"before": _shown(await call.objects.look(arguments.key)), "after": after}


async def _lost(arguments: Which, call: Call) -> dict[str, Any]:
    return {"before": _shown(await call.objects.look(arguments.key)), "after": None}


@tool("storage.get_object", title="Get an object", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=10.0)
async def get_object(arguments: Which, call: Call) -> Content:
    """Read an object of the platform's own store, 2 MiB at most. What is in it was written by somebody else."""
    found = await call.objects.read(arguments.key)
    if found is None:
        raise Refused("there is no object under this key", "not_found")
    entry, body = found
    text = _text(body)
    return Content(
        key=entry.key,
        media_type=entry.media_type,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
        stored_at=entry.stored_at,
        text=text,
        base64=base64.b64encode(body).decode() if text is None else None,
    )


@tool("storage.list_objects", title="List objects", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=10.0)
async def list_objects(arguments: Wanted, call: Call) -> Page:
    """List objects whose key begins as is said, in the order of their keys."""
    found = await call.objects.beginning(arguments.prefix, arguments.after, arguments.limit + 1)
    shown = [_entry(each) for each in found[: arguments.limit]]
    return Page(objects=shown, next=shown[-1].key if len(found) > arguments.limit else None)


@tool(
    "storage.put_object",
    title="Put an object",
    effect=Effect.WRITE,
    idempotency=Idempotency.NATURAL,
    writes=("object",),
    timeout_s=10.0,
    verify=_is_stored,
    preview=_replaced,
)
async def put_object(arguments: NewObject, call: Call) -> Entry:
    """Store an object under a key. One that is there is replaced."""
    body = _body(arguments)
    if len(body) > MAX_OBJECT_BYTES:
        raise BadArguments(f"an object has at most {MAX_OBJECT_BYTES} bytes", "object_too_large")
    return _entry(await call.objects.put(arguments.key, body, arguments.media_type, call.idempotency_key))


@tool(
    "storage.delete_object",
    title="Delete an object",
    effect=Effect.DESTRUCTIVE,
    idempotency=Idempotency.NATURAL,
    writes=("object",),
    timeout_s=10.0,
    verify=_is_deleted,
    preview=_lost,
)
async def delete_object(arguments: Which, call: Call) -> Deleted:
    """Delete an object for good. One that is not there is deleted already."""
    await call.objects.delete(arguments.key)
    return Deleted(key=arguments.key)


def _entry(found: StoredObject) -> Entry:
    return Entry(
        key=found.key,
        media_type=found.media_type,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        stored_at=found.stored_at,
    )


def _shown(found: StoredObject | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"media_type": found.media_type, "size_bytes": found.size_bytes, "stored_at": found.stored_at}


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


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
