"""What a description cannot say, or says wrongly, said by whoever imports it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from fairlead_sdk import Access, Effect, Idempotency
from fairlead_sdk.importing import ImportProblem
from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Path = Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]
Url = Annotated[str, Meta(max_length=2000, pattern=r"^https?://")]
RecordKind = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
Seconds = Annotated[float, Meta(gt=0, le=600)]


class Pagination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one page leads to the next.

    `link`: by a Link header with rel="next". `cursor`: what stands at `next` in the body goes into `parameter`.
    `offset`: `parameter` counts what was read, `page`: it counts pages from `first`. `items` is where the list stands
    in the body, nothing for a body that is the list. `more` is where the body says whether there is another page.
    """

    style: Literal["link", "cursor", "offset", "page"]
    parameter: Text | None = None
    next: Path | None = None
    items: Path | None = None
    more: Path | None = None
    first: Annotated[int, Meta(ge=0, le=1)] = 1


class Undo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which operation takes back what this one did, by id or by `DELETE /path`, and what it is given.

    A text like `{input.owner}` or `{output.body.number}` stands for that argument of the call, or that of its output.
    """

    operation: Text
    arguments: Annotated[dict[str, Any], Meta(max_length=50)] = {}


class OperationHints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None leaves what the description says. `answers="any"` keeps what comes back out of every check."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=80)] | None = None
    title: Text | None = None
    description: Annotated[str, Meta(min_length=1, max_length=2000)] | None = None
    effect: Effect | None = None
    idempotency: Idempotency | None = None
    idempotency_header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    timeout_s: Seconds | None = None
    writes: Annotated[tuple[RecordKind, ...], Meta(min_length=1, max_length=20)] | None = None
    pagination: Pagination | None = None
    undo: Undo | None = None
    answers: Literal["checked", "any"] = "checked"


class Hints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`only` and `without` choose operations by their id, `GET /path`, a tag, or the beginning of a path (`/v1/…`).

    `operations` is by id or by `GET /path`. `security` names the scheme to use where there are several.
    """

    title: Text | None = None
    base_url: Url | None = None
    security: Text | None = None
    only: Annotated[tuple[Text, ...], Meta(max_length=2000)] = ()
    without: Annotated[tuple[Text, ...], Meta(max_length=2000)] = ()
    access: dict[str, Access] = {}
    pagination: Pagination | None = None
    timeout_s: Seconds = 30.0
    operations: Annotated[dict[str, OperationHints], Meta(max_length=2000)] = {}


NO_HINTS = OperationHints()


def hints_of(given: Mapping[str, Any]) -> Hints | ImportProblem:
    try:
        hints = msgspec.convert(given, Hints)
    except msgspec.ValidationError as misfit:
        return ImportProblem("/hints", "bad_hints", str(misfit))
    paged = {"/hints/pagination": hints.pagination} | {
        f"/hints/operations/{key}/pagination": each.pagination for key, each in hints.operations.items()
    }
    for path, pagination in paged.items():
        if pagination is not None and (lacking := _lacking(pagination)):
            return ImportProblem(path, "bad_hints", f"the style {pagination.style} needs {lacking}")
    return hints


def _lacking(pagination: Pagination) -> str | None:
    if pagination.style != "link" and pagination.parameter is None:
        return "parameter"
    return "next" if pagination.style == "cursor" and pagination.next is None else None
