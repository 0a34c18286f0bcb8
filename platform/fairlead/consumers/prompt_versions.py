"""Prompts with every version ever published of them."""

from collections.abc import Sequence

from fairlead.consumers.rows import as_json, printable
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, SqlTx

NAME = "prompt_versions"
KINDS: tuple[Kind, ...] = ("prompt",)
TABLES: tuple[str, ...] = ("prompts", "prompt_versions")

_PROMPT = """
INSERT INTO prompts AS p (
    tenant_id, prompt_id, workspace_id, name, newest_version, description, changed_at, changed_by_kind, changed_by_id,
    stream_version)
VALUES (%(tenant)s, %(prompt_id)s, %(workspace_id)s, %(name)s, %(number)s, %(description)s, %(at)s, %(author_kind)s,
        %(author_id)s, %(version)s)
    ON CONFLICT (tenant_id, prompt_id) DO UPDATE
   SET newest_version = excluded.newest_version, description = excluded.description, changed_at = excluded.changed_at,
       changed_by_kind = excluded.changed_by_kind, changed_by_id = excluded.changed_by_id,
       stream_version = excluded.stream_version
 WHERE p.stream_version < excluded.stream_version
"""
_VERSION = """
INSERT INTO prompt_versions (
    tenant_id, prompt_id, version, document, document_hash, author_kind, author_id, reason, restores, published_at,
    stream_version)
VALUES (%(tenant)s, %(prompt_id)s, %(number)s, %(document)s::jsonb, %(document_hash)s, %(author_kind)s, %(author_id)s,
        %(reason)s, %(restores)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            said = {
                "tenant": commit.tenant_id,
                "prompt_id": commit.stream_id,
                "at": commit.at,
                "author_kind": commit.actor.kind,
                "author_id": commit.actor.id,
                "version": version,
                "workspace_id": event.workspace_id,
                "name": event.name,
                "number": event.version,
                "description": printable(event.document.get("description", "")),
                "document": as_json(event.document),
                "document_hash": event.document_hash,
                "reason": printable(event.reason),
                "restores": event.restores,
            }
            await tx.run(_PROMPT, said)
            await tx.run(_VERSION, said)
