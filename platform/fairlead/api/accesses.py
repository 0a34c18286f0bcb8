"""Who read, searched, exported or looked at an approval: for auditors, who are recorded as well."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fairlead_tenants.access import Permission, Principal, may
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from fairlead.api import access_rows as rows
from fairlead.api.access_rows import AccessRow, AccessView, Wanted
from fairlead.api.export_csv import cell
from fairlead.api.guards import FILES, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import reader
from fairlead.api.runs import aware
from fairlead.api.timeline_events import START, place_of
from fairlead.domain.accesses import Access
from fairlead.domain.envelope import position
from fairlead.domain.errors import Denied

LIST = "accesses"
AUDITS = requires(Permission.AUDIT_READ, "accesses")
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
COLUMNS = tuple(AccessView.__struct_fields__)

_encode = msgspec.json.Encoder().encode


class AccessController(Controller):
    path = "/v1/access"
    tags = ("Audit",)

    @get("/", opt=AUDITS)
    async def list_accesses(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        who: Annotated[str | None, QueryParameter(name="principal_id", max_length=64)] = None,
        of: Annotated[
            str | None,
            QueryParameter(name="object", max_length=300, description="A path, and all below it: /v1/runs/run_…"),
        ] = None,
        access: Annotated[Access | None, QueryParameter(name="access")] = None,
        from_at: Annotated[datetime | None, QueryParameter(name="from")] = None,
        to_at: Annotated[datetime | None, QueryParameter(name="to", description="Exclusive.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[AccessView]:
        """Who looked at what, the newest first."""
        _check(principal)
        last = after(cursor, LIST, principal.tenant_id, str)
        place = None if last is None else place_of(last, "cursor")
        wanted = Wanted(
            sequence=rows.NEWEST if place is None else place.sequence,
            index=0 if place is None else place.index,
            limit=limit + 1,
            environment=rows.seen_by(principal),
            principal=who,
            object=of,
            access=access,
            from_at=None if from_at is None else aware(from_at, "from"),
            to_at=None if to_at is None else aware(to_at, "to"),
        )
        async with parts.database.read(principal.tenant_id) as tx:
            found = await rows.newest(tx, wanted)
        shown = page(found, limit, LIST, principal.tenant_id, lambda row: position(row.sequence, row.index))
        return Page([row.view() for row in shown.items], shown.next_cursor)

    @get("/export", opt=AUDITS | {FILES: tuple(MEDIA_TYPES.values())})
    async def export_accesses(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: Annotated[datetime, QueryParameter(name="from", description="Accesses from this moment on.")],
        to_at: Annotated[datetime | None, QueryParameter(name="to", description="Exclusive; now without.")] = None,
        form: Annotated[Literal["ndjson", "csv"], QueryParameter(name="format")] = "ndjson",
        last: Annotated[
            str | None, QueryParameter(name="after", max_length=40, description="Position of the last one there is.")
        ] = None,
    ) -> Stream:
        """Every access in a span of time, the oldest first, as a file."""
        _check(principal)
        begin, end = aware(from_at, "from"), parts.clock.now() if to_at is None else aware(to_at, "to")
        start = START if last is None else place_of(last)
        span = rows.Span(begin=begin, end=end, environment=rows.seen_by(principal))
        found = rows.pages(reader(parts, principal.tenant_id), start, span)
        written = _csv(found, goes_on=last is not None) if form == "csv" else _ndjson(found)
        headers = {"Content-Disposition": f'attachment; filename="accesses.{form}"'}
        return Stream(written, media_type=MEDIA_TYPES[form], headers=headers)


def _check(principal: Principal) -> None:
    """Accesses are the whole tenant's. Raises Denied for who audits one workspace only."""
    if not may(principal, Permission.AUDIT_READ):
        raise Denied(Permission.AUDIT_READ)


async def _ndjson(pages: AsyncIterator[list[AccessRow]]) -> AsyncIterator[bytes]:
    async for found in pages:
        yield b"".join(_encode(row.view()) + b"\n" for row in found)


async def _csv(pages: AsyncIterator[list[AccessRow]], *, goes_on: bool) -> AsyncIterator[bytes]:
    """With a byte order mark, for spreadsheets."""
    if not goes_on:
        yield "\N{ZERO WIDTH NO-BREAK SPACE}".encode() + ",".join(COLUMNS).encode() + b"\r\n"
    async for found in pages:
        yield "".join(_line(row.view()) for row in found).encode()


def _line(view: AccessView) -> str:
    plain = msgspec.to_builtins(view)
    return ",".join(cell(plain[name]) for name in COLUMNS) + "\r\n"
