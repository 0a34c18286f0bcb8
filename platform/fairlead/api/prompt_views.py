"""Prompts and their versions as they are shown, from the read model."""

from collections.abc import Sequence
from typing import Any

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Actor
from fairlead.domain.ids import PromptId
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

_LIST = """
SELECT prompt_id, workspace_id, name, description, newest_version, changed_at, changed_by_kind, changed_by_id
  FROM prompts
 WHERE prompt_id > %(after)s
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
 ORDER BY prompt_id
 LIMIT %(limit)s
"""
_ONE = """
SELECT prompt_id, workspace_id, name, description, newest_version, changed_at, changed_by_kind, changed_by_id
  FROM prompts
 WHERE prompt_id = %(prompt_id)s
"""
_VERSIONS = """
SELECT version, document_hash, author_kind, author_id, reason, restores, published_at, NULL AS document
  FROM prompt_versions
 WHERE prompt_id = %(prompt_id)s AND version < %(below)s
 ORDER BY version DESC
 LIMIT %(limit)s
"""
_VERSION = """
SELECT version, document_hash, author_kind, author_id, reason, restores, published_at, document
  FROM prompt_versions
 WHERE prompt_id = %(prompt_id)s AND version = %(version)s
"""


class PromptView(Struct, frozen=True, kw_only=True):
    """A prompt. Workflows keep the version that they were published with."""

    prompt_id: PromptId
    workspace_id: WorkspaceId
    name: str
    description: str
    newest_version: int
    changed_at: Instant
    changed_by: Actor


class PromptVersionView(Struct, frozen=True, kw_only=True):
    """`document_hash` is SHA-256 of the canonical JSON (RFC 8785) of the document. `restores` is the version that it
    was taken from again."""

    version: int
    document_hash: str
    author: Actor
    reason: str
    restores: int | None
    published_at: Instant


class PromptVersionDetail(PromptVersionView, frozen=True, kw_only=True):
    document: dict[str, Any]


class _Row(Struct, frozen=True, kw_only=True):
    prompt_id: PromptId
    workspace_id: WorkspaceId
    name: str
    description: str
    newest_version: int
    changed_at: Instant
    changed_by_kind: str
    changed_by_id: PrincipalId

    def view(self) -> PromptView:
        return PromptView(
            prompt_id=self.prompt_id,
            workspace_id=self.workspace_id,
            name=self.name,
            description=self.description,
            newest_version=self.newest_version,
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

    def view(self) -> PromptVersionView:
        return PromptVersionView(**self._shown())

    def detail(self) -> PromptVersionDetail:
        assert self.document is not None, "the query asks for it"
        return PromptVersionDetail(document=self.document, **self._shown())


def _actor(kind: str, principal_id: PrincipalId) -> Actor:
    return Actor(kind=kind, id=principal_id)  # type: ignore[arg-type]  # the table checks the kind


async def listed(tx: SqlTx, workspaces: Sequence[WorkspaceId] | None, after: str, limit: int) -> list[PromptView]:
    """None: of all workspaces."""
    params = {"workspaces": None if workspaces is None else list(workspaces), "after": after, "limit": limit}
    return [row.view() for row in await tx.rows(_LIST, params, _Row)]


async def prompt(tx: SqlTx, prompt_id: PromptId) -> PromptView | None:
    found = await tx.row(_ONE, {"prompt_id": prompt_id}, _Row)
    return found.view() if found else None


async def versions(tx: SqlTx, prompt_id: PromptId, below: int, limit: int) -> list[PromptVersionView]:
    """Newest first."""
    params = {"prompt_id": prompt_id, "below": below, "limit": limit}
    return [row.view() for row in await tx.rows(_VERSIONS, params, _VersionRow)]


async def version(tx: SqlTx, prompt_id: PromptId, number: int) -> PromptVersionDetail | None:
    found = await tx.row(_VERSION, {"prompt_id": prompt_id, "version": number}, _VersionRow)
    return found.detail() if found else None
