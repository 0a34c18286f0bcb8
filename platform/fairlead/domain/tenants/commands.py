"""What may be asked of a tenant. `now` is the caller's clock.

`by` is the principal as the request's credential gave it; the decision looks up afresh what that principal holds.
"""

from typing import Literal

from fairlead_tenants.access import EnvironmentKind, Grant, Permission, Principal, Role
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.ids import DelegationId, PolicyId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.events import OidcSubject


class CreateTenant(Struct, frozen=True, kw_only=True):
    """With its first owner, a workspace `default` and the environments `live` and `test`."""

    tenant_id: TenantId
    name: str
    owner_id: PrincipalId
    owner_email: str
    owner_display_name: str
    workspace_id: WorkspaceId
    live_environment_id: EnvironmentId
    test_environment_id: EnvironmentId
    now: Instant
    owner_subject: OidcSubject | None = None


class SuspendTenant(Struct, frozen=True, kw_only=True):
    """Given by the operator of the installation, not by a principal of the tenant."""

    reason: str
    now: Instant


class ReactivateTenant(Struct, frozen=True, kw_only=True):
    now: Instant


class ManagedCommand(Struct, frozen=True, kw_only=True):
    by: Principal
    now: Instant


class ChangeToolCap(ManagedCommand, frozen=True, kw_only=True):
    cap: int


class KeepBudgets(ManagedCommand, frozen=True, kw_only=True):
    """Asked for before any budget is set; only the first makes a difference."""


class UseConnector(ManagedCommand, frozen=True, kw_only=True):
    """In `version` alone, or else in the newest of `major` that is installed."""

    connector: str
    major: int
    version: str | None = None


class DisableConnector(ManagedCommand, frozen=True, kw_only=True):
    connector: str
    reason: str


class CreateWorkspace(ManagedCommand, frozen=True, kw_only=True):
    workspace_id: WorkspaceId
    name: str


class CreateEnvironment(ManagedCommand, frozen=True, kw_only=True):
    environment_id: EnvironmentId
    name: str
    kind: EnvironmentKind


class AddPerson(ManagedCommand, frozen=True, kw_only=True):
    principal_id: PrincipalId
    email: str
    display_name: str
    subject: OidcSubject | None = None


class CreateServiceAccount(ManagedCommand, frozen=True, kw_only=True):
    principal_id: PrincipalId
    name: str


class CreateAgent(ManagedCommand, frozen=True, kw_only=True):
    """Asked for on every publication of the workflow; only the first makes the agent."""

    principal_id: PrincipalId
    name: str
    workflow_id: WorkflowId
    workspace_id: WorkspaceId


class GrantRole(ManagedCommand, frozen=True, kw_only=True):
    principal_id: PrincipalId
    grant: Grant


class WithdrawRole(ManagedCommand, frozen=True, kw_only=True):
    principal_id: PrincipalId
    grant: Grant


class DisablePrincipal(ManagedCommand, frozen=True, kw_only=True):
    principal_id: PrincipalId
    reason: str


class EnablePrincipal(ManagedCommand, frozen=True, kw_only=True):
    principal_id: PrincipalId


class IssueKey(ManagedCommand, frozen=True, kw_only=True):
    """`scopes` None: all that the principal may do, now and later."""

    key_id: ApiKeyId
    principal_id: PrincipalId
    name: str
    hash: str
    last_four: str
    environment_id: EnvironmentId
    expires_at: Instant
    scopes: frozenset[Permission] | None = None


class RotateKey(ManagedCommand, frozen=True, kw_only=True):
    key_id: ApiKeyId
    new_key_id: ApiKeyId
    hash: str
    last_four: str
    expires_at: Instant
    overlap_until: Instant


class RevokeKey(ManagedCommand, frozen=True, kw_only=True):
    """Works on any key of the tenant, also on one of somebody who may do more: taking away is never escalation."""

    key_id: ApiKeyId
    reason: str


PolicyMove = Literal["enforce", "try", "roll_back", "lift"]


class ChoosePolicy(ManagedCommand, frozen=True, kw_only=True):
    """Which version of a policy decides or is tried; none when it is lifted. Needs the permission where it applies.

    To enforce never goes back to an older version: that is said as `roll_back`.
    """

    policy_id: PolicyId
    workspace_id: WorkspaceId | None
    workflow: str | None
    move: PolicyMove
    version: int | None
    reason: str


class DelegateApproving(ManagedCommand, frozen=True, kw_only=True):
    """By the person whose approving it is. `workflows` and `roles` narrow it; empty: all."""

    delegation_id: DelegationId
    delegate: PrincipalId
    until: Instant
    reason: str
    workflows: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()


class RevokeDelegation(ManagedCommand, frozen=True, kw_only=True):
    """By whoever delegated, or by whoever manages people."""

    delegation_id: DelegationId
    reason: str


TenantCommand = (
    CreateTenant
    | SuspendTenant
    | ReactivateTenant
    | ChangeToolCap
    | KeepBudgets
    | UseConnector
    | DisableConnector
    | ChoosePolicy
    | CreateWorkspace
    | CreateEnvironment
    | AddPerson
    | CreateServiceAccount
    | CreateAgent
    | GrantRole
    | WithdrawRole
    | DisablePrincipal
    | EnablePrincipal
    | IssueKey
    | RotateKey
    | RevokeKey
    | DelegateApproving
    | RevokeDelegation
)
