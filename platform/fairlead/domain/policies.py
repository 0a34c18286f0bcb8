"""A policy's history: versions that never change. Which of them is in force, the tenant says (`PolicyChosen`).

There is one policy for a tenant, one for each of its workspaces and one for each name of a workflow. The stream's id
follows from that, so a scope is one history and needs no look-up.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, Literal

from fairlead_tenants.ids import TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Actor, Event, Recorded, StreamRef
from fairlead.domain.errors import NotFound, Rejected
from fairlead.domain.ids import PolicyId
from fairlead.domain.instant import Instant
from fairlead.domain.tenants import limits
from fairlead.domain.workflow.plain import document_hash

ID_CHARS = 26
MAX_VERSIONS = 10_000

ScopeKind = Literal["tenant", "workspace", "workflow"]


class Scope(Struct, frozen=True, kw_only=True):
    """What a policy is for: all of the tenant, one workspace, or one workflow in it by its name."""

    workspace_id: WorkspaceId | None = None
    workflow: str | None = None

    @property
    def kind(self) -> ScopeKind:
        if self.workspace_id is None:
            return "tenant"
        return "workspace" if self.workflow is None else "workflow"


def policy_id(tenant_id: TenantId, scope: Scope) -> PolicyId:
    """`pol_` and 130 bits of a hash."""
    place = f"{tenant_id}/{scope.workspace_id or ''}/{scope.workflow or ''}"
    digest = hashlib.sha256(place.encode()).digest()
    return PolicyId("pol_" + base64.b32encode(digest).decode()[:ID_CHARS].lower())


def policy_stream(tenant_id: TenantId, scope: Scope) -> StreamRef:
    return StreamRef(tenant_id, "policy", policy_id(tenant_id, scope))


class PolicyPublished(Event, frozen=True, kw_only=True, tag="policy.published.v1"):
    """A version, not yet in force: the tenant's `tenant.policy_chosen.v1` says which is. `document` is plain data."""

    workspace_id: WorkspaceId | None
    workflow: str | None
    version: int
    document: dict[str, Any]
    document_hash: str
    reason: str


PolicyEvent = PolicyPublished


class PublishPolicy(Struct, frozen=True, kw_only=True):
    """`document` has been checked. `expected_version` is the version the author saw, 0 for none, None for any."""

    scope: Scope
    document: dict[str, Any]
    reason: str
    expected_version: int | None = None


class Unpublished(Struct, frozen=True):
    version: int = 0


class Published(Struct, frozen=True, kw_only=True):
    version: int
    document_hash: str


PolicyState = Unpublished | Published


class PolicyVersionMismatch(Rejected):
    """Somebody published since: look at the newest version and decide again."""

    code = "policy_version_mismatch"


class TooManyPolicyVersions(Rejected):
    """The policy has as many versions as a policy may have."""

    code = "too_many_policy_versions"


class NoSuchPolicy(NotFound):
    """Nothing was published there, or no such version."""

    code = "policy_not_found"


def initial() -> PolicyState:
    return Unpublished()


def decide(command: PublishPolicy, state: PolicyState) -> list[PolicyEvent]:
    """Raises Invalid, PolicyVersionMismatch, TooManyPolicyVersions. The newest document again is no new version."""
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    if command.expected_version not in (None, state.version):
        raise PolicyVersionMismatch(f"the newest version is {state.version}, not {command.expected_version}")
    digest = document_hash(command.document)
    if isinstance(state, Published) and state.document_hash == digest:
        return []
    if state.version >= MAX_VERSIONS:
        raise TooManyPolicyVersions(f"the policy has {state.version} versions")
    return [
        PolicyPublished(
            workspace_id=command.scope.workspace_id,
            workflow=command.scope.workflow,
            version=state.version + 1,
            document=command.document,
            document_hash=digest,
            reason=command.reason,
        )
    ]


def evolve(_: PolicyState, event: PolicyEvent) -> PolicyState:
    return Published(version=event.version, document_hash=event.document_hash)


class Version(Struct, frozen=True, kw_only=True):
    """One line of a policy's history."""

    published: PolicyPublished
    author: Actor
    at: Instant


def versions(history: Iterable[Recorded[PolicyEvent]]) -> list[Version]:
    """Every version ever published, oldest first. `history` is the whole stream."""
    return [
        Version(published=event, author=recorded.commit.actor, at=recorded.commit.at)
        for recorded in history
        for event in recorded.commit.events
    ]
