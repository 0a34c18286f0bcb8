"""What a tenant answers to a command. Pure: the state and the command are all there is."""

from collections.abc import Mapping
from typing import assert_never

from fairlead_tenants.access import Permission, Principal, may

from fairlead.domain.errors import Denied
from fairlead.domain.tenants import choices, delegations, keys, limits, policies, principals
from fairlead.domain.tenants.commands import (
    AddPerson,
    ChangeToolCap,
    ChoosePolicy,
    CreateAgent,
    CreateEnvironment,
    CreateServiceAccount,
    CreateTenant,
    CreateWorkspace,
    DelegateApproving,
    DisableConnector,
    DisablePrincipal,
    EnablePrincipal,
    GrantRole,
    IssueKey,
    KeepBudgets,
    ManagedCommand,
    ReactivateTenant,
    RevokeDelegation,
    RevokeKey,
    RotateKey,
    SuspendTenant,
    TenantCommand,
    UseConnector,
    WithdrawRole,
)
from fairlead.domain.tenants.errors import AlreadyExists, LimitReached, TenantUnknown
from fairlead.domain.tenants.events import (
    BudgetsKept,
    EnvironmentCreated,
    PersonAdded,
    RoleGranted,
    TenantCreated,
    TenantEvent,
    TenantReactivated,
    TenantSuspended,
    ToolCapChanged,
    WorkspaceCreated,
)
from fairlead.domain.tenants.identity import refreshed
from fairlead.domain.tenants.states import OWNER_OF_ALL, Absent, Tenant, TenantState

NEEDED: Mapping[type[ManagedCommand], Permission] = {
    ChangeToolCap: Permission.TENANT_MANAGE,
    KeepBudgets: Permission.BUDGET_MANAGE,
    UseConnector: Permission.CONNECTOR_MANAGE,
    DisableConnector: Permission.CONNECTOR_MANAGE,
    ChoosePolicy: Permission.POLICY_PUBLISH,
    CreateWorkspace: Permission.WORKSPACE_MANAGE,
    CreateEnvironment: Permission.WORKSPACE_MANAGE,
    AddPerson: Permission.PRINCIPAL_MANAGE,
    CreateServiceAccount: Permission.PRINCIPAL_MANAGE,
    CreateAgent: Permission.WORKFLOW_PUBLISH,
    GrantRole: Permission.PRINCIPAL_MANAGE,
    WithdrawRole: Permission.PRINCIPAL_MANAGE,
    DisablePrincipal: Permission.PRINCIPAL_MANAGE,
    EnablePrincipal: Permission.PRINCIPAL_MANAGE,
    IssueKey: Permission.KEY_MANAGE,
    RotateKey: Permission.KEY_MANAGE,
    RevokeKey: Permission.KEY_MANAGE,
}


def decide(command: TenantCommand, state: TenantState) -> list[TenantEvent]:
    """Say what happens; change nothing. Raises Invalid, Denied, and what `errors.py` of this package lists."""
    if isinstance(command, CreateTenant):
        return _create(command, state)
    if isinstance(state, Absent):
        raise TenantUnknown("no such tenant")
    match command:
        case SuspendTenant():
            limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
            return [] if state.suspended else [TenantSuspended(reason=command.reason)]
        case ReactivateTenant():
            return [TenantReactivated()] if state.suspended else []
        case IssueKey() | RotateKey() | RevokeKey():
            return keys.decide(command, _authorised(command, state), state)
        case UseConnector() | DisableConnector():
            _authorised(command, state)
            return choices.decide(command, state.connectors)
        case ChoosePolicy():
            _authorised(command, state)
            return policies.decide(command, state.policies)
        case DelegateApproving() | RevokeDelegation():
            return delegations.decide(command, refreshed(state, command.by, command.now), state)
        case ChangeToolCap() | KeepBudgets() | CreateWorkspace() | CreateEnvironment():
            _authorised(command, state)
            return _shape(command, state)
        case _:
            return principals.decide(command, _authorised(command, state), state)


def _authorised(command: ManagedCommand, state: Tenant) -> Principal:
    """The acting principal as the tenant knows it now: a permission lost since the request came in is lost."""
    acting = refreshed(state, command.by, command.now)
    needed = NEEDED[type(command)]
    workspace_id = command.workspace_id if isinstance(command, CreateAgent | ChoosePolicy) else None
    if not may(acting, needed, workspace_id) and not keys.is_own(command, acting, state):
        raise Denied(needed)
    return acting


def _create(command: CreateTenant, state: TenantState) -> list[TenantEvent]:
    if isinstance(state, Tenant):
        raise AlreadyExists("the tenant exists")
    limits.check(
        limits.text("/name", command.name),
        limits.email("/owner_email", command.owner_email),
        limits.text("/owner_display_name", command.owner_display_name),
        *limits.subject("/owner_subject", command.owner_subject),
    )
    return [
        TenantCreated(tenant_id=command.tenant_id, name=command.name),
        WorkspaceCreated(workspace_id=command.workspace_id, name="default"),
        EnvironmentCreated(environment_id=command.live_environment_id, name="live", kind="live"),
        EnvironmentCreated(environment_id=command.test_environment_id, name="test", kind="test"),
        PersonAdded(
            principal_id=command.owner_id,
            email=command.owner_email,
            display_name=command.owner_display_name,
            subject=command.owner_subject,
        ),
        RoleGranted(principal_id=command.owner_id, grant=OWNER_OF_ALL),
    ]


def _shape(
    command: ChangeToolCap | KeepBudgets | CreateWorkspace | CreateEnvironment, state: Tenant
) -> list[TenantEvent]:
    match command:
        case ChangeToolCap(cap=cap):
            limits.check(limits.within("/cap", cap, 1, limits.MAX_TOOL_CAP))
            return [] if cap == state.tool_cap else [ToolCapChanged(cap=cap)]
        case KeepBudgets():
            return [] if state.keeps_budgets else [BudgetsKept()]
        case CreateWorkspace(workspace_id=workspace_id, name=name):
            limits.check(limits.slug("/name", name))
            if workspace_id in state.workspaces or name in state.workspaces.values():
                raise AlreadyExists(f"a workspace {name} exists")
            if len(state.workspaces) >= limits.MAX_WORKSPACES:
                raise LimitReached("workspaces", limits.MAX_WORKSPACES)
            return [WorkspaceCreated(workspace_id=workspace_id, name=name)]
        case CreateEnvironment(environment_id=environment_id, name=name):
            limits.check(limits.slug("/name", name))
            if environment_id in state.environments or any(e.name == name for e in state.environments.values()):
                raise AlreadyExists(f"an environment {name} exists")
            if len(state.environments) >= limits.MAX_ENVIRONMENTS:
                raise LimitReached("environments", limits.MAX_ENVIRONMENTS)
            return [EnvironmentCreated(environment_id=environment_id, name=name, kind=command.kind)]
        case _:
            assert_never(command)
