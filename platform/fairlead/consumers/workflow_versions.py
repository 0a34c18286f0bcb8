"""Workflows and every document ever published of them."""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.rows import as_json, printable
from fairlead.domain import workflows as w
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, SqlTx

NAME = "workflow_versions"
KINDS: tuple[Kind, ...] = ("workflow",)
TABLES: tuple[str, ...] = ("workflows", "workflow_versions")

_WORKFLOW = """
INSERT INTO workflows AS f (
    tenant_id, workflow_id, workspace_id, name, newest_version, created_sequence, updated_at, stream_version)
VALUES (%(tenant)s, %(workflow_id)s, %(workspace_id)s, %(name)s, %(number)s, %(sequence)s, %(at)s, %(version)s)
    ON CONFLICT (tenant_id, workflow_id) DO UPDATE
   SET newest_version = excluded.newest_version, updated_at = excluded.updated_at,
       stream_version = excluded.stream_version
 WHERE f.stream_version < excluded.stream_version
"""
_VERSION = """
INSERT INTO workflow_versions (
    tenant_id, workflow_id, version, document, document_hash, tool_versions, agent_principal_id, author_kind, author_id,
    reason, published_at, sequence)
SELECT %(tenant)s, %(workflow_id)s, r.version, r.document, r.document_hash, r.tool_versions, r.agent_principal_id,
       %(author_kind)s, %(author_id)s, r.reason, %(at)s, %(sequence)s
  FROM json_to_recordset(%(rows)s) AS r (
       version integer, document jsonb, document_hash text, tool_versions jsonb, agent_principal_id text, reason text)
    ON CONFLICT DO NOTHING
"""
_ARCHIVED = """
UPDATE workflows SET archived_at = %(archived_at)s, updated_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND workflow_id = %(workflow_id)s AND stream_version < %(version)s
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {
                "tenant": commit.tenant_id,
                "workflow_id": commit.stream_id,
                "at": commit.at,
                "sequence": recorded.sequence,
                "version": version,
            }
            if isinstance(event, w.WorkflowPublished):
                author = {"author_kind": commit.actor.kind, "author_id": commit.actor.id}
                await _publish(event, place | author, tx)
            else:
                archived_at = commit.at if isinstance(event, w.WorkflowArchived) else None
                await tx.run(_ARCHIVED, place | {"archived_at": archived_at})


async def _publish(event: w.WorkflowPublished, place: dict[str, Any], tx: SqlTx) -> None:
    named = {"workspace_id": event.workspace_id, "name": printable(event.name), "number": event.version}
    await tx.run(_WORKFLOW, place | named)
    await tx.run(_VERSION, place | {"rows": as_json([event])})
