"""Routes of models and their versions as they are shown, from the read model."""

from typing import Annotated, Any

from fairlead_tenants.ids import PrincipalId
from msgspec import Meta, Struct

from fairlead.domain.envelope import Actor
from fairlead.domain.ids import RouteId
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

_LIST = """
SELECT route_id, name, title, newest_version, retired_reason, changed_at, changed_by_kind, changed_by_id
  FROM routes
 WHERE name > %(after)s
 ORDER BY name
 LIMIT %(limit)s
"""
_ONE = """
SELECT route_id, name, title, newest_version, retired_reason, changed_at, changed_by_kind, changed_by_id
  FROM routes
 WHERE route_id = %(route_id)s
"""
_VERSIONS = """
SELECT version, document_hash, author_kind, author_id, reason, restores, published_at, NULL AS document
  FROM route_versions
 WHERE route_id = %(route_id)s AND version < %(below)s
 ORDER BY version DESC
 LIMIT %(limit)s
"""
_VERSION = """
SELECT version, document_hash, author_kind, author_id, reason, restores, published_at, document
  FROM route_versions
 WHERE route_id = %(route_id)s AND version = %(version)s
"""


class RouteView(Struct, frozen=True, kw_only=True):
    """A route. Its newest version counts, unless it is retired: then nothing is asked by it."""

    name: str
    route_id: RouteId
    title: str
    newest_version: int
    retired_reason: Annotated[str | None, Meta(description="Null: it is in use.")]
    changed_at: Instant
    changed_by: Actor


class RouteVersionView(Struct, frozen=True, kw_only=True):
    """`document_hash` is SHA-256 of the canonical JSON (RFC 8785) of the document. `restores` is the version that it
    was taken from again."""

    version: int
    document_hash: str
    author: Actor
    reason: str
    restores: int | None
    published_at: Instant


class RouteVersionDetail(RouteVersionView, frozen=True, kw_only=True):
    document: dict[str, Any]


class _Row(Struct, frozen=True, kw_only=True):
    route_id: RouteId
    name: str
    title: str
    newest_version: int
    retired_reason: str | None
    changed_at: Instant
    changed_by_kind: str
    changed_by_id: PrincipalId

    def view(self) -> RouteView:
        return RouteView(
            name=self.name,
            route_id=self.route_id,
            title=self.title,
            newest_version=self.newest_version,
            retired_reason=self.retired_reason,
            changed_at=self.changed_at,
            changed_by=_actor(self.changed_by_kind, self.changed_by_id),
        )


class _VersionRow(Struct, frozen=True, kw_only=True):
    version: int
    document_hash: str
    author_kind: str
    author_id: PrincipalId
    reason: str
    restores: int | None
    published_at: Instant
    document: dict[str, Any] | None

    def _shown(self) -> dict[str, Any]:
        same = ("version", "document_hash", "reason", "restores", "published_at")
        return {name: getattr(self, name) for name in same} | {"author": _actor(self.author_kind, self.author_id)}

    def view(self) -> RouteVersionView:
        return RouteVersionView(**self._shown())

    def detail(self) -> RouteVersionDetail:
        assert self.document is not None, "the query asks for it"
        return RouteVersionDetail(document=self.document, **self._shown())


def _actor(kind: str, principal_id: PrincipalId) -> Actor:
    return Actor(kind=kind, id=principal_id)  # type: ignore[arg-type]  # the table checks the kind


async def listed(tx: SqlTx, after: str, limit: int) -> list[RouteView]:
    return [row.view() for row in await tx.rows(_LIST, {"after": after, "limit": limit}, _Row)]


async def route(tx: SqlTx, route_id: RouteId) -> RouteView | None:
    found = await tx.row(_ONE, {"route_id": route_id}, _Row)
    return found.view() if found else None


async def versions(tx: SqlTx, route_id: RouteId, below: int, limit: int) -> list[RouteVersionView]:
    """Newest first."""
    params = {"route_id": route_id, "below": below, "limit": limit}
    return [row.view() for row in await tx.rows(_VERSIONS, params, _VersionRow)]


async def version(tx: SqlTx, route_id: RouteId, number: int) -> RouteVersionDetail | None:
    found = await tx.row(_VERSION, {"route_id": route_id, "version": number}, _VersionRow)
    return found.detail() if found else None
