"""Sets of tools that tenants imported, and every version of them."""

from collections.abc import Sequence

import msgspec

from fairlead.consumers.rows import printable
from fairlead.domain.envelope import Kind
from fairlead.domain.toolsets import ToolsetImported
from fairlead.ports import AnyRecorded, SqlTx

NAME = "toolset_versions"
KINDS: tuple[Kind, ...] = ("toolset",)
TABLES: tuple[str, ...] = ("toolset_versions",)

_IMPORTED = """
INSERT INTO toolset_versions (
    tenant_id, name, version, title, importer, importer_version, source_sha256, definition_sha256, tools_by_effect,
    left_out, author_kind, author_id, reason, imported_at, stream_version)
VALUES (
    %(tenant)s, %(name)s, %(number)s, %(title)s, %(importer)s, %(importer_version)s, %(source)s, %(definition)s,
    %(tools)s::jsonb, %(left_out)s, %(author_kind)s, %(author_id)s, %(reason)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            if isinstance(event, ToolsetImported):
                await tx.run(
                    _IMPORTED,
                    {
                        "tenant": commit.tenant_id,
                        "name": event.name,
                        "number": event.version,
                        "title": printable(event.title),
                        "importer": event.importer,
                        "importer_version": event.importer_version,
                        "source": event.source_sha256,
                        "definition": event.definition_sha256,
                        "tools": msgspec.json.encode(event.tools_by_effect).decode(),
                        "left_out": event.left_out,
                        "author_kind": commit.actor.kind,
                        "author_id": commit.actor.id,
                        "reason": printable(event.reason),
                        "at": commit.at,
                        "version": version,
                    },
                )
