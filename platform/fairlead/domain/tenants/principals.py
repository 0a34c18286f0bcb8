"""Answers about people, service accounts, agents and their roles."""

from typing import assert_never

from fairlead_tenants.access import ROLES_FOR, Grant, Principal, PrincipalKind, Role, lacking_to_hand_on
from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId

from fairlead.domain.errors import Denied
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import (
    AddPerson,
    CreateAgent,
    CreateServiceAccount,
    DisablePrincipal,
    EnablePrincipal,
    GrantRole,
    WithdrawRole,
)
from fairlead.domain.tenants.errors import (
    AlreadyExists,
    EnvironmentUnknown,
    LastOwner,
    LimitReached,
    OwnerOwnsAll,
    PrincipalUnknown,
    RoleNotForKind,
    WorkspaceUnknown,
)
from fairlead.domain.tenants.events import (
    AgentCreated,
    PersonAdded,
    PrincipalDisabled,
    PrincipalEnabled,
    RoleGranted,
    RoleWithdrawn,
    ServiceAccountCreated,
    TenantEvent,
)
from fairlead.domain.tenants.states import Member, Tenant

PrincipalCommand = (
    AddPerson | CreateServiceAccount | CreateAgent | GrantRole | WithdrawRole | DisablePrincipal | EnablePrincipal
)


def decide(command: PrincipalCommand, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    match command:
        case AddPerson():
            return _add_person(command, tenant)
        case CreateServiceAccount():
            limits.check(limits.text("/name", command.name))
            _check_room_for(command.principal_id, tenant)
            return [ServiceAccountCreated(principal_id=command.principal_id, name=command.name)]
        case CreateAgent():
            return _create_agent(command, tenant)
        case GrantRole():
            return _grant(command, acting, tenant)
        case WithdrawRole():
            return _withdraw(command, acting, tenant)
        case DisablePrincipal():
            return _disable(command, acting, tenant)
        case EnablePrincipal():
            member = _member(tenant, command.principal_id)
            check_may_hand_on(acting, member.kind, member.grants)
            return [PrincipalEnabled(principal_id=member.principal_id)] if member.disabled else []
        case _:
            assert_never(command)


def check_known_place(tenant: Tenant, workspace_id: WorkspaceId | None, environment_id: EnvironmentId | None) -> None:
    if workspace_id is not None and workspace_id not in tenant.workspaces:
        raise WorkspaceUnknown("no such workspace")
    if environment_id is not None and environment_id not in tenant.environments:
        raise EnvironmentUnknown("no such environment")


def check_may_hand_on(acting: Principal, kind: PrincipalKind, grants: tuple[Grant, ...]) -> None:
    """Nobody gives, revives or takes what they do not hold themselves, in the same place."""
    lacking = lacking_to_hand_on(acting, kind, grants)
    if lacking is not None:
        raise Denied(lacking, f"permission {lacking} is required of whoever hands it on or takes it away")


def _member(tenant: Tenant, principal_id: PrincipalId) -> Member:
    if principal_id not in tenant.members:
        raise PrincipalUnknown("no such principal")
    return tenant.members[principal_id]


def _check_room_for(principal_id: PrincipalId, tenant: Tenant) -> None:
    if principal_id in tenant.members:
        raise AlreadyExists("a principal with this id exists")
    if len(tenant.members) >= limits.MAX_PRINCIPALS:
        raise LimitReached("principals", limits.MAX_PRINCIPALS)


def _add_person(command: AddPerson, tenant: Tenant) -> list[TenantEvent]:
    limits.check(
        limits.email("/email", command.email),
        limits.text("/display_name", command.display_name),
        *limits.subject("/subject", command.subject),
    )
    _check_room_for(command.principal_id, tenant)
    folded = command.email.casefold()
    for member in tenant.members.values():
        if member.email is not None and member.email.casefold() == folded:
            raise AlreadyExists("a person with this e-mail exists")
        if command.subject is not None and member.subject == command.subject:
            raise AlreadyExists("a person with this subject exists")
    return [
        PersonAdded(
            principal_id=command.principal_id,
            email=command.email,
            display_name=command.display_name,
            subject=command.subject,
        )
    ]


def _create_agent(command: CreateAgent, tenant: Tenant) -> list[TenantEvent]:
    if command.workflow_id in tenant.agent_of:
        return []
    limits.check(limits.text("/name", command.name))
    check_known_place(tenant, command.workspace_id, None)
    _check_room_for(command.principal_id, tenant)
    return [
        AgentCreated(
            principal_id=command.principal_id,
            name=command.name,
            workflow_id=command.workflow_id,
            workspace_id=command.workspace_id,
        ),
        RoleGranted(principal_id=command.principal_id, grant=Grant(Role.AGENT, command.workspace_id)),
    ]


def _grant(command: GrantRole, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    member, grant = _member(tenant, command.principal_id), command.grant
    check_known_place(tenant, grant.workspace_id, grant.environment_id)
    if grant.role not in ROLES_FOR[member.kind]:
        raise RoleNotForKind(f"a {member.kind} cannot have the role {grant.role}")
    if grant.role is Role.OWNER and (grant.workspace_id, grant.environment_id) != (None, None):
        raise OwnerOwnsAll("an owner owns the whole tenant")
    check_may_hand_on(acting, member.kind, (grant,))
    if grant in member.grants:
        return []
    if len(member.grants) >= limits.MAX_GRANTS:
        raise LimitReached("grants per principal", limits.MAX_GRANTS)
    return [RoleGranted(principal_id=member.principal_id, grant=grant)]


def _withdraw(command: WithdrawRole, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    member, grant = _member(tenant, command.principal_id), command.grant
    if grant not in member.grants:
        return []
    check_may_hand_on(acting, member.kind, (grant,))
    if grant.role is Role.OWNER:
        _check_other_owner(member, tenant)
    return [RoleWithdrawn(principal_id=member.principal_id, grant=grant)]


def _disable(command: DisablePrincipal, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    member = _member(tenant, command.principal_id)
    if member.disabled:
        return []
    check_may_hand_on(acting, member.kind, member.grants)
    if member.owns_all:
        _check_other_owner(member, tenant)
    return [PrincipalDisabled(principal_id=member.principal_id, reason=command.reason)]


def _check_other_owner(leaving: Member, tenant: Tenant) -> None:
    if not any(member.owns_all for member in tenant.members.values() if member.principal_id != leaving.principal_id):
        raise LastOwner("the tenant needs another enabled owner first")
