"""Policies and their versions as they are shown, from the read model."""

from collections.abc import Sequence
from typing import Annotated, Any

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.domain.envelope import Actor
from fairlead.domain.ids import PolicyId
from fairlead.domain.instant import Instant
from fairlead.domain.policies import Scope, ScopeKind
from fairlead.ports import SqlTx

_LIST = """
SELECT policy_id, workspace_id, workflow, newest_version, enforced_version, tried_version, chosen_at, chosen_by_kind,
       chosen_by_id, chosen_reason
  FROM policies
 WHERE policy_id > %(after)s
   AND (%(workspaces)s::text[] IS NULL OR workspace_id IS NULL OR workspace_id = ANY (%(workspaces)s))
 ORDER BY policy_id
 LIMIT %(limit)s
"""
_ONE = """
SELECT policy_id, workspace_id, workflow, newest_version, enforced_version, tried_version, chosen_at, chosen_by_kind,
       chosen_by_id, chosen_reason
  FROM policies
 WHERE policy_id = %(policy_id)s
"""
_VERSIONS = """
SELECT policy_id, version, document_hash, author_kind, author_id, reason, published_at, NULL AS document
  FROM policy_versions
 WHERE policy_id = %(policy_id)s AND version < %(below)s
 ORDER BY version DESC
 LIMIT %(limit)s
"""
_VERSION = """
SELECT policy_id, version, document_hash, author_kind, author_id, reason, published_at, document
  FROM policy_versions
 WHERE policy_id = %(policy_id)s AND version = %(version)s
"""


class PolicyView(Struct, frozen=True, kw_only=True):
    """A policy. `enforced_version` decides; what `tried_version` would decide is recorded beside it."""

    policy_id: PolicyId
    scope: ScopeKind
    workspace_id: WorkspaceId | None
    workflow: Annotated[str | None, Meta(description="The workflow's name.")]
    newest_version: int
    enforced_version: Annotated[int | None, Meta(description="Null: no version of it decides.")]
    tried_version: int | None
    in_force_since: Instant | None
    chosen_by: Annotated[Actor | None, Meta(description="Who put it in force, tried it or took it away.")]
    chosen_reason: str | None


class PolicyVersionView(Struct, frozen=True, kw_only=True):
    """`document_hash` is SHA-256 of the canonical JSON (RFC 8785) of the document."""

    policy_id: PolicyId
    version: int
    document_hash: str
    author: Actor
    reason: str
    published_at: Instant


class PolicyVersionDetail(PolicyVersionView, frozen=True, kw_only=True):
    document: dict[str, Any]


class _Row(Struct, frozen=True, kw_only=True):
    policy_id: PolicyId
    workspace_id: WorkspaceId | None
    workflow: str | None
    newest_version: int
    enforced_version: int | None
    tried_version: int | None
    chosen_at: Instant | None
    chosen_by_kind: str | None
    chosen_by_id: PrincipalId | None
    chosen_reason: str | None

    def view(self) -> PolicyView:
        return PolicyView(
            policy_id=self.policy_id,
            scope=Scope(workspace_id=self.workspace_id, workflow=self.workflow).kind,
            workspace_id=self.workspace_id,
            workflow=self.workflow,
            newest_version=self.newest_version,
            enforced_version=self.enforced_version,
            tried_version=self.tried_version,
            in_force_since=self.chosen_at,
            chosen_by=_actor(self.chosen_by_kind, self.chosen_by_id),
            chosen_reason=self.chosen_reason,
        )


class _VersionRow(Struct, frozen=True, kw_only=True):
    policy_id: PolicyId
    version: int
    document_hash: str
    author_kind: str
    author_id: PrincipalId
    reason: str
    published_at: Instant
    document: dict[str, Any] | None

    def _shown(self) -> dict[str, Any]:
        same = ("policy_id", "version", "document_hash", "reason", "published_at")
        return {name: getattr(self, name) for name in same} | {"author": _actor(self.author_kind, self.author_id)}

    def view(self) -> PolicyVersionView:
        return PolicyVersionView(**self._shown())

    def detail(self) -> PolicyVersionDetail:
        assert self.document is not None, "the query asks for it"
        return PolicyVersionDetail(document=self.document, **self._shown())


def _actor(kind: str | None, principal_id: PrincipalId | None) -> Actor | None:
    if kind is None or principal_id is None:
        return None
    return Actor(kind=kind, id=principal_id)  # type: ignore[arg-type]  # the table checks the kind


async def listed(tx: SqlTx, workspaces: Sequence[WorkspaceId] | None, after: str, limit: int) -> list[PolicyView]:
    """The tenant's own is everybody's to see; `workspaces` None is everywhere."""
    params = {"workspaces": workspaces, "after": after, "limit": limit}
    return [row.view() for row in await tx.rows(_LIST, params, _Row)]


async def policy(tx: SqlTx, policy_id: PolicyId) -> PolicyView | None:
    found = await tx.row(_ONE, {"policy_id": policy_id}, _Row)
    return found.view() if found else None


async def versions(tx: SqlTx, policy_id: PolicyId, below: int, limit: int) -> list[PolicyVersionView]:
    """Newest first."""
    params = {"policy_id": policy_id, "below": below, "limit": limit}
    return [row.view() for row in await tx.rows(_VERSIONS, params, _VersionRow)]


async def version(tx: SqlTx, policy_id: PolicyId, number: int) -> PolicyVersionDetail | None:
    found = await tx.row(_VERSION, {"policy_id": policy_id, "version": number}, _VersionRow)
    return found.detail() if found else None
