"""Routes of models with every version ever published of them, and which of them are in use."""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.rows import as_json, printable
from fairlead.domain.envelope import Kind
from fairlead.domain.routing.routes import RoutePublished, RouteRetired
from fairlead.ports import AnyRecorded, SqlTx

NAME = "route_versions"
KINDS: tuple[Kind, ...] = ("route",)
TABLES: tuple[str, ...] = ("routes", "route_versions")

_ROUTE = """
INSERT INTO routes AS r (
    tenant_id, route_id, name, newest_version, title, changed_at, changed_by_kind, changed_by_id, stream_version)
VALUES (%(tenant)s, %(route_id)s, %(name)s, %(number)s, %(title)s, %(at)s, %(author_kind)s, %(author_id)s, %(version)s)
    ON CONFLICT (tenant_id, route_id) DO UPDATE
   SET newest_version = excluded.newest_version, title = excluded.title, retired_reason = NULL,
       changed_at = excluded.changed_at, changed_by_kind = excluded.changed_by_kind,
       changed_by_id = excluded.changed_by_id, stream_version = excluded.stream_version
 WHERE r.stream_version < excluded.stream_version
"""
_VERSION = """
INSERT INTO route_versions (
    tenant_id, route_id, version, document, document_hash, author_kind, author_id, reason, restores, published_at,
    stream_version)
VALUES (%(tenant)s, %(route_id)s, %(number)s, %(document)s::jsonb, %(document_hash)s, %(author_kind)s, %(author_id)s,
        %(reason)s, %(restores)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_RETIRED = """
UPDATE routes
   SET retired_reason = %(reason)s, changed_at = %(at)s, changed_by_kind = %(author_kind)s,
       changed_by_id = %(author_id)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND route_id = %(route_id)s AND stream_version < %(version)s
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {
                "tenant": commit.tenant_id,
                "route_id": commit.stream_id,
                "at": commit.at,
                "author_kind": commit.actor.kind,
                "author_id": commit.actor.id,
                "version": version,
            }
            if isinstance(event, RoutePublished):
                await _publish(event, place, tx)
            elif isinstance(event, RouteRetired):
                await tx.run(_RETIRED, place | {"reason": printable(event.reason)})


async def _publish(event: RoutePublished, place: dict[str, Any], tx: SqlTx) -> None:
    title = event.document.get("title", "")
    said = place | {
        "name": event.name,
        "number": event.version,
        "title": printable(title),
        "document": as_json(event.document),
        "document_hash": event.document_hash,
        "reason": printable(event.reason),
        "restores": event.restores,
    }
    await tx.run(_ROUTE, said)
    await tx.run(_VERSION, said)
