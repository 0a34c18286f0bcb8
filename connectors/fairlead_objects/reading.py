"""Objects that are there: listed by prefix, and read whole within a bound."""

import base64
from typing import Annotated

from defusedxml import DefusedXmlException, ElementTree
from fairlead_sdk import AnswerTooLarge, Call, Effect, HttpAnswer, Idempotency, Refused, TryLater, tool
from fairlead_sdk.answers import succeeded
from msgspec import Meta, Struct

from fairlead_objects.bucket import Bucket, ObjectKey

MAX_OBJECT_BYTES = 2 * 1024 * 1024
MAX_LISTING_BYTES = 2 * 1024 * 1024


class Which(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: ObjectKey


class Content(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text` where it is UTF-8, else `base64`."""

    key: str
    media_type: str
    size_bytes: int
    etag: str
    text: str | None
    base64: str | None


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after` is `next` of the page before."""

    prefix: Annotated[str, Meta(max_length=900, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    after: Annotated[str, Meta(max_length=2_000)] | None = None


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    size_bytes: int
    etag: str
    modified_at: str


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    objects: list[Entry]
    next: str | None


@tool("objects.get_object", title="Get an object", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=20.0)
async def get_object(arguments: Which, call: Call) -> Content:
    """Read an object of at most 2 MiB. What is in it was written by somebody else."""
    try:
        answer = await Bucket(call).ask("GET", arguments.key, max_bytes=MAX_OBJECT_BYTES)
    except AnswerTooLarge:
        raise Refused(f"the object has more than {MAX_OBJECT_BYTES} bytes", "object_too_large") from None
    body = succeeded(answer, Effect.READ).body
    text = _text(body)
    return Content(
        key=arguments.key,
        media_type=answer.headers.get("content-type", "application/octet-stream")[:200],
        size_bytes=len(body),
        etag=answer.headers.get("etag", ""),
        text=text,
        base64=base64.b64encode(body).decode() if text is None else None,
    )


@tool("objects.list_objects", title="List objects", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=20.0)
async def list_objects(arguments: Wanted, call: Call) -> Page:
    """List objects whose key begins as is said, in the order of their keys."""
    bucket = Bucket(call)
    query = {"list-type": "2", "max-keys": str(arguments.limit), "prefix": bucket.prefix + arguments.prefix}
    if arguments.after is not None:
        query["continuation-token"] = arguments.after
    answer = await bucket.ask("GET", query=query, max_bytes=MAX_LISTING_BYTES)
    return _page(succeeded(answer, Effect.READ), bucket.prefix)


def _page(answer: HttpAnswer, prefix: str) -> Page:
    try:
        root = ElementTree.fromstring(answer.body)
    except (ElementTree.ParseError, DefusedXmlException, ValueError):
        raise TryLater("the store's listing cannot be read", "bad_listing") from None
    entries = [
        Entry(
            key=(each.findtext("{*}Key") or "").removeprefix(prefix),
            size_bytes=int(each.findtext("{*}Size") or 0),
            etag=each.findtext("{*}ETag") or "",
            modified_at=each.findtext("{*}LastModified") or "",
        )
        for each in root.iterfind("{*}Contents")
    ]
    return Page(objects=entries, next=root.findtext("{*}NextContinuationToken"))


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
