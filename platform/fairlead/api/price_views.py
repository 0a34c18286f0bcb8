"""A tenant's prices and their versions as they are shown, from the read model."""

from typing import Any

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.envelope import Actor
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

_VERSIONS = """
SELECT version, document_hash, author_kind, author_id, reason, published_at, NULL AS document
  FROM price_versions
 WHERE version < %(below)s
 ORDER BY version DESC
 LIMIT %(limit)s
"""
_VERSION = """
SELECT version, document_hash, author_kind, author_id, reason, published_at, document
  FROM price_versions
 WHERE version = %(version)s
"""
_NEWEST = """
SELECT version, document_hash, author_kind, author_id, reason, published_at, document
  FROM price_versions
 ORDER BY version DESC
 LIMIT 1
"""


class PriceVersionView(Struct, frozen=True, kw_only=True):
    """`document_hash` is SHA-256 of the canonical JSON (RFC 8785) of the document."""

    version: int
    document_hash: str
    author: Actor
    reason: str
    published_at: Instant


class PriceVersionDetail(PriceVersionView, frozen=True, kw_only=True):
    document: dict[str, Any]


class _Row(Struct, frozen=True, kw_only=True):
    version: int
    document_hash: str
    author_kind: str
    author_id: PrincipalId
    reason: str
    published_at: Instant
    document: dict[str, Any] | None

    def _shown(self) -> dict[str, Any]:
        same = ("version", "document_hash", "reason", "published_at")
        author = Actor(kind=self.author_kind, id=self.author_id)  # type: ignore[arg-type]  # the table checks the kind
        return {name: getattr(self, name) for name in same} | {"author": author}

    def view(self) -> PriceVersionView:
        return PriceVersionView(**self._shown())

    def detail(self) -> PriceVersionDetail:
        assert self.document is not None, "the query asks for it"
        return PriceVersionDetail(document=self.document, **self._shown())


async def versions(tx: SqlTx, below: int, limit: int) -> list[PriceVersionView]:
    """Newest first."""
    return [row.view() for row in await tx.rows(_VERSIONS, {"below": below, "limit": limit}, _Row)]


async def version(tx: SqlTx, number: int) -> PriceVersionDetail | None:
    found = await tx.row(_VERSION, {"version": number}, _Row)
    return found.detail() if found else None


async def newest(tx: SqlTx) -> PriceVersionDetail | None:
    found = await tx.row(_NEWEST, None, _Row)
    return found.detail() if found else None
