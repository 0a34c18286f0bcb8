"""Every version of each tenant's own prices."""

from collections.abc import Sequence

from fairlead.consumers.rows import as_json, printable
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, SqlTx

NAME = "price_versions"
KINDS: tuple[Kind, ...] = ("prices",)
TABLES: tuple[str, ...] = ("price_versions",)

_VERSION = """
INSERT INTO price_versions (
    tenant_id, version, document, document_hash, author_kind, author_id, reason, published_at, stream_version)
VALUES (%(tenant)s, %(number)s, %(document)s::jsonb, %(document_hash)s, %(author_kind)s, %(author_id)s, %(reason)s,
        %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            said = {
                "tenant": commit.tenant_id,
                "number": event.version,
                "document": as_json(event.document),
                "document_hash": event.document_hash,
                "author_kind": commit.actor.kind,
                "author_id": commit.actor.id,
                "reason": printable(event.reason),
                "at": commit.at,
                "version": version,
            }
            await tx.run(_VERSION, said)
