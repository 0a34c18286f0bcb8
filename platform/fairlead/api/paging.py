"""Lists by the page. A cursor is opaque to callers, names its list and its tenant, and is good for nothing else."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from fairlead.domain.errors import Invalid, Problem

T = TypeVar("T")
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_CURSOR = 500


class Page(Struct, Generic[T], frozen=True):
    items: list[T]
    next_cursor: Annotated[str | None, Meta(description="Send it as `cursor` for what follows; null at the end.")]


class _Cursor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    of: str
    owner: str
    after: str | int


def after(cursor: str | None, of: str, tenant_id: str, kind: type[T]) -> T | None:
    """What the last page ended with; None for the first page. Raises Invalid."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=_Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise _refused() from None
    if found.of != of or found.owner != _owner(tenant_id) or type(found.after) is not kind:
        raise _refused()
    return found.after


def page(found: Sequence[T], limit: int, of: str, tenant_id: str, place: Callable[[T], str | int]) -> Page[T]:
    """`found` has one more than the limit where there is more; `place` is what the next page comes after."""
    items = list(found[:limit])
    more = len(found) > limit
    return Page(items, _written(_Cursor(of, _owner(tenant_id), place(items[-1]))) if more else None)


def _written(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _owner(tenant_id: str) -> str:
    return hashlib.sha256(tenant_id.encode()).hexdigest()[:12]


def _refused() -> Invalid:
    wrong = Problem(path="/cursor", message="is not a cursor of this list", code="cursor_invalid")
    return Invalid([wrong], "the cursor is not one of this list")


Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Items of a page, at most.")]
Cursor = Annotated[str | None, QueryParameter(max_length=MAX_CURSOR, description="From the page before.")]
