"""Workflows and their versions as they are shown, from the read model."""

from collections.abc import Sequence
from typing import Annotated, Any

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.domain.envelope import Actor
from fairlead.domain.ids import WorkflowId
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

_LIST = """
SELECT workflow_id, workspace_id, name, newest_version, archived_at, updated_at, created_sequence
  FROM workflows
 WHERE created_sequence > %(after)s
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(workspace)s::text IS NULL OR workspace_id = %(workspace)s)
   AND (%(archived)s::boolean IS NULL OR (archived_at IS NOT NULL) = %(archived)s)
 ORDER BY created_sequence
 LIMIT %(limit)s
"""
_ONE = """
SELECT workflow_id, workspace_id, name, newest_version, archived_at, updated_at, created_sequence
  FROM workflows
 WHERE workflow_id = %(workflow_id)s
"""
_VERSIONS = """
SELECT workflow_id, version, document_hash, tool_versions, agent_principal_id, author_kind, author_id, reason,
       published_at, NULL AS document
  FROM workflow_versions
 WHERE workflow_id = %(workflow_id)s AND version < %(below)s
 ORDER BY version DESC
 LIMIT %(limit)s
"""
_VERSION = """
SELECT workflow_id, version, document_hash, tool_versions, agent_principal_id, author_kind, author_id, reason,
       published_at, document
  FROM workflow_versions
 WHERE workflow_id = %(workflow_id)s AND version = %(version)s
"""


class WorkflowView(Struct, frozen=True, kw_only=True):
    workflow_id: WorkflowId
    workspace_id: WorkspaceId
    name: str
    newest_version: int
    archived_at: Annotated[Instant | None, Meta(description="Set: no new runs and no new versions.")]
    updated_at: Instant


class VersionView(Struct, frozen=True, kw_only=True):
    """`document_hash` is SHA-256 of the canonical JSON (RFC 8785) of the document."""

    workflow_id: WorkflowId
    version: int
    document_hash: str
    tool_versions: Annotated[dict[str, str], Meta(description="`version/schema_hash` of each tool, as published.")]
    agent_principal_id: PrincipalId
    author: Actor
    reason: str
    published_at: Instant


class VersionDetail(VersionView, frozen=True, kw_only=True):
    document: dict[str, Any]


class WorkflowRow(Struct, frozen=True, kw_only=True):
    workflow_id: WorkflowId
    workspace_id: WorkspaceId
    name: str
    newest_version: int
    archived_at: Instant | None
    updated_at: Instant
    created_sequence: int

    def view(self) -> WorkflowView:
        return WorkflowView(**{name: getattr(self, name) for name in WorkflowView.__struct_fields__})


class _VersionRow(Struct, frozen=True, kw_only=True):
    workflow_id: WorkflowId
    version: int
    document_hash: str
    tool_versions: dict[str, str]
    agent_principal_id: PrincipalId
    author_kind: str
    author_id: PrincipalId
    reason: str
    published_at: Instant
    document: dict[str, Any] | None

    def _shown(self) -> dict[str, Any]:
        same = ("workflow_id", "version", "document_hash", "tool_versions", "agent_principal_id", "reason")
        author = Actor(kind=self.author_kind, id=self.author_id)  # type: ignore[arg-type]  # the table checks the kind
        return {name: getattr(self, name) for name in (*same, "published_at")} | {"author": author}

    def view(self) -> VersionView:
        return VersionView(**self._shown())

    def detail(self) -> VersionDetail:
        assert self.document is not None, "the query asks for it"
        return VersionDetail(document=self.document, **self._shown())


class Listed(Struct, frozen=True, kw_only=True):
    """`workspaces` None is everywhere, an empty list nowhere."""

    workspaces: Sequence[WorkspaceId] | None
    workspace: str | None
    archived: bool | None
    after: int
    limit: int


async def listed(tx: SqlTx, wanted: Listed) -> list[WorkflowRow]:
    """In the order in which they were first published."""
    params = {name: getattr(wanted, name) for name in Listed.__struct_fields__}
    return await tx.rows(_LIST, params, WorkflowRow)


async def workflow(tx: SqlTx, workflow_id: WorkflowId) -> WorkflowRow | None:
    return await tx.row(_ONE, {"workflow_id": workflow_id}, WorkflowRow)


async def versions(tx: SqlTx, workflow_id: WorkflowId, below: int, limit: int) -> list[VersionView]:
    """Newest first."""
    params = {"workflow_id": workflow_id, "below": below, "limit": limit}
    return [row.view() for row in await tx.rows(_VERSIONS, params, _VersionRow)]


async def version(tx: SqlTx, workflow_id: WorkflowId, number: int) -> VersionDetail | None:
    found = await tx.row(_VERSION, {"workflow_id": workflow_id, "version": number}, _VersionRow)
    return found.detail() if found else None
