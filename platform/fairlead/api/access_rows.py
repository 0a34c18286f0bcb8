"""Accesses as auditors see them, from the read model."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fairlead_tenants.access import Principal, PrincipalKind
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId
from msgspec import Struct

from fairlead.api.commit_pages import Read
from fairlead.api.timeline_events import Place
from fairlead.domain.accesses import Access
from fairlead.domain.envelope import position
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

PAGE = 1_000
NEWEST = 2**62

_NEWEST_FIRST = """
SELECT sequence, index, at, access, principal_id, principal_kind, key_id, environment_id, route, object, query, trace_id
  FROM accesses
 WHERE (sequence, index) < (%(sequence)s, %(index)s)
   AND (%(principal)s::text IS NULL OR principal_id = %(principal)s)
   AND (%(object)s::text IS NULL OR object = %(object)s OR starts_with(object, %(object)s || '/'))
   AND (%(access)s::text IS NULL OR access = %(access)s)
   AND (%(from_at)s::timestamptz IS NULL OR at >= %(from_at)s)
   AND (%(to_at)s::timestamptz IS NULL OR at < %(to_at)s)
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
 ORDER BY sequence DESC, index DESC
 LIMIT %(limit)s
"""
_OLDEST_FIRST = """
SELECT sequence, index, at, access, principal_id, principal_kind, key_id, environment_id, route, object, query, trace_id
  FROM accesses
 WHERE (sequence, index) > (%(sequence)s, %(index)s)
   AND at >= %(from_at)s AND at < %(to_at)s
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
 ORDER BY sequence, index
 LIMIT %(limit)s
"""


class AccessView(Struct, frozen=True, kw_only=True):
    """`object` is the path that was asked for, `query` what was asked of it, without secrets."""

    position: str
    at: Instant
    access: Access
    principal_id: PrincipalId
    principal_kind: PrincipalKind
    key_id: ApiKeyId | None
    environment_id: EnvironmentId | None
    route: str
    object: str
    query: str
    trace_id: str | None


class AccessRow(Struct, frozen=True, kw_only=True):
    sequence: int
    index: int
    at: datetime
    access: Access
    principal_id: PrincipalId
    principal_kind: PrincipalKind
    key_id: ApiKeyId | None
    environment_id: EnvironmentId | None
    route: str
    object: str
    query: str
    trace_id: str | None

    def view(self) -> AccessView:
        shown = {name: getattr(self, name) for name in AccessView.__struct_fields__ if name != "position"}
        return AccessView(position=position(self.sequence, self.index), **shown)


class Wanted(Struct, frozen=True, kw_only=True):
    """Before this place, the newest first."""

    sequence: int
    index: int
    limit: int
    environment: EnvironmentId | None
    principal: str | None = None
    object: str | None = None
    access: Access | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


def seen_by(principal: Principal) -> EnvironmentId | None:
    """A key of a test environment sees what was done with keys of that environment; None is everything."""
    return principal.environment_id if principal.environment_kind == "test" else None


async def newest(tx: SqlTx, wanted: Wanted) -> list[AccessRow]:
    params = {name: getattr(wanted, name) for name in Wanted.__struct_fields__}
    return await tx.rows(_NEWEST_FIRST, params, AccessRow)


class Span(Struct, frozen=True, kw_only=True):
    begin: datetime
    end: datetime
    environment: EnvironmentId | None


async def pages(read: Read, start: Place, span: Span) -> AsyncIterator[list[AccessRow]]:
    """Past `start`, oldest first, a transaction a page."""
    place: dict[str, Any] = {"sequence": start.sequence, "index": start.index}
    asked = {"from_at": span.begin, "to_at": span.end, "environment": span.environment, "limit": PAGE}
    while True:
        async with read() as tx:
            rows = await tx.rows(_OLDEST_FIRST, asked | place, AccessRow)
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        place = {"sequence": rows[-1].sequence, "index": rows[-1].index}
