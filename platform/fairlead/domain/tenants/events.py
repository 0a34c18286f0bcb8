"""What has happened to a tenant: who is in it, what they may do, with which keys. One stream per tenant."""

from fairlead_tenants.access import EnvironmentKind, Grant, Permission, Role
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Event
from fairlead.domain.ids import DelegationId, PolicyId, WorkflowId
from fairlead.domain.instant import Instant


class OidcSubject(Struct, frozen=True, forbid_unknown_fields=True):
    """A person as their identity provider knows them. Sign-in matches on this, never on the e-mail."""

    issuer: str
    subject: str


class TenantCreated(Event, frozen=True, kw_only=True, tag="tenant.created.v1"):
    """Comes with its first owner, a workspace and two environments in the same commit."""

    tenant_id: TenantId
    name: str


class TenantSuspended(Event, frozen=True, kw_only=True, tag="tenant.suspended.v1"):
    """No credential counts and no call is made until the tenant is reactivated."""

    reason: str


class TenantReactivated(Event, frozen=True, kw_only=True, tag="tenant.reactivated.v1"):
    """What each principal and key could do before holds again."""


class ToolCapChanged(Event, frozen=True, kw_only=True, tag="tenant.tool_cap_changed.v1"):
    """How many tools the allow-list of one workflow may name."""

    cap: int


class BudgetsKept(Event, frozen=True, kw_only=True, tag="tenant.budgets_kept.v1"):
    """The tenant has a book of budgets from now on, and every call is looked up in it."""


class ConnectorEnabled(Event, frozen=True, kw_only=True, tag="tenant.connector_enabled.v1"):
    """Its tools can be called, in the newest version of this major one that is installed."""

    connector: str
    major: int


class ConnectorPinned(Event, frozen=True, kw_only=True, tag="tenant.connector_pinned.v1"):
    """Its tools can be called, in this version alone."""

    connector: str
    version: str


class ConnectorDisabled(Event, frozen=True, kw_only=True, tag="tenant.connector_disabled.v1"):
    """None of its tools is called, also where runs are under way."""

    connector: str
    reason: str


class PolicyChosen(Event, frozen=True, kw_only=True, tag="tenant.policy_chosen.v1"):
    """From here on version `enforced` of this policy decides, and what `tried` would decide is recorded beside it.

    None: no version does. `workspace_id` and `workflow` say what the policy is for; neither: for the whole tenant.
    """

    policy_id: PolicyId
    workspace_id: WorkspaceId | None
    workflow: str | None
    enforced: int | None
    tried: int | None
    reason: str


class WorkspaceCreated(Event, frozen=True, kw_only=True, tag="tenant.workspace_created.v1"):
    """`name` is unique in the tenant."""

    workspace_id: WorkspaceId
    name: str


class EnvironmentCreated(Event, frozen=True, kw_only=True, tag="tenant.environment_created.v1"):
    """`kind` is fixed for ever: it is part of the text of each key that stands in the environment."""

    environment_id: EnvironmentId
    name: str
    kind: EnvironmentKind


class PersonAdded(Event, frozen=True, kw_only=True, tag="tenant.person_added.v1"):
    """Holds nothing until a role is granted; `subject` is missing until the identity provider is known."""

    principal_id: PrincipalId
    email: str
    display_name: str
    subject: OidcSubject | None = None


class ServiceAccountCreated(Event, frozen=True, kw_only=True, tag="tenant.service_account_created.v1"):
    """A program of the tenant. It can never approve or manage the tenant, whatever it is granted."""

    principal_id: PrincipalId
    name: str


class AgentCreated(Event, frozen=True, kw_only=True, tag="tenant.agent_created.v1"):
    """The principal that a workflow acts as."""

    principal_id: PrincipalId
    name: str
    workflow_id: WorkflowId
    workspace_id: WorkspaceId


class RoleGranted(Event, frozen=True, kw_only=True, tag="tenant.role_granted.v1"):
    """`grant` without a workspace or environment holds in all of them, also in those made later."""

    principal_id: PrincipalId
    grant: Grant


class RoleWithdrawn(Event, frozen=True, kw_only=True, tag="tenant.role_withdrawn.v1"):
    """Exactly this grant; the same role granted elsewhere stays."""

    principal_id: PrincipalId
    grant: Grant


class PrincipalDisabled(Event, frozen=True, kw_only=True, tag="tenant.principal_disabled.v1"):
    """Every key of the principal stops counting at once; a disabled agent's calls are denied."""

    principal_id: PrincipalId
    reason: str


class PrincipalEnabled(Event, frozen=True, kw_only=True, tag="tenant.principal_enabled.v1"):
    """Roles and keys hold again as they were."""

    principal_id: PrincipalId


class KeyIssued(Event, frozen=True, kw_only=True, tag="tenant.key_issued.v1"):
    """`hash` is the keyed hash of the key's text. `scopes` are sorted; None is all that the principal may do."""

    key_id: ApiKeyId
    principal_id: PrincipalId
    name: str
    hash: str
    last_four: str
    scopes: tuple[Permission, ...] | None
    environment_id: EnvironmentId
    issued_at: Instant
    expires_at: Instant


class KeyRotated(Event, frozen=True, kw_only=True, tag="tenant.key_rotated.v1"):
    """The new key takes over name, scopes and environment; the old one works until `overlap_until` at the latest."""

    key_id: ApiKeyId
    principal_id: PrincipalId
    new_key_id: ApiKeyId
    hash: str
    last_four: str
    rotated_at: Instant
    expires_at: Instant
    overlap_until: Instant


class KeyRevoked(Event, frozen=True, kw_only=True, tag="tenant.key_revoked.v1"):
    """Counts from the next request on, everywhere."""

    key_id: ApiKeyId
    principal_id: PrincipalId
    reason: str
    revoked_at: Instant


class ApprovingDelegated(Event, frozen=True, kw_only=True, tag="tenant.approving_delegated.v1"):
    """Until then `delegate` may answer approvals on behalf of `delegator`, by the roles that the delegator has.

    `workflows` and `roles` narrow it; empty: all.
    """

    delegation_id: DelegationId
    delegator: PrincipalId
    delegate: PrincipalId
    workflows: tuple[str, ...]
    roles: tuple[Role, ...]
    delegated_at: Instant
    until: Instant
    reason: str


class DelegationRevoked(Event, frozen=True, kw_only=True, tag="tenant.delegation_revoked.v1"):
    """Counts from the next answer on, everywhere."""

    delegation_id: DelegationId
    revoked_by: PrincipalId
    revoked_at: Instant
    reason: str


TenantEvent = (
    TenantCreated
    | TenantSuspended
    | TenantReactivated
    | ToolCapChanged
    | BudgetsKept
    | ConnectorEnabled
    | ConnectorPinned
    | ConnectorDisabled
    | PolicyChosen
    | WorkspaceCreated
    | EnvironmentCreated
    | PersonAdded
    | ServiceAccountCreated
    | AgentCreated
    | RoleGranted
    | RoleWithdrawn
    | PrincipalDisabled
    | PrincipalEnabled
    | KeyIssued
    | KeyRotated
    | KeyRevoked
    | ApprovingDelegated
    | DelegationRevoked
)
