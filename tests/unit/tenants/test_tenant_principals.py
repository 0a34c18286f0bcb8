"""Tenants, workspaces, principals and roles: what is said to each order."""

from datetime import timedelta

import pytest
from fairlead_tenants.access import Grant, Permission, Role, may
from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec.structs import replace

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.ids import WorkflowId
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import (
    AddPerson,
    ChangeToolCap,
    CreateAgent,
    CreateEnvironment,
    CreateWorkspace,
    DisablePrincipal,
    EnablePrincipal,
    GrantRole,
    ReactivateTenant,
    SuspendTenant,
    WithdrawRole,
)
from fairlead.domain.tenants.errors import (
    AlreadyExists,
    EnvironmentUnknown,
    LastOwner,
    LimitReached,
    OwnerOwnsAll,
    PrincipalIsDisabled,
    PrincipalUnknown,
    RoleNotForKind,
    TenantIsSuspended,
    TenantUnknown,
    WorkspaceUnknown,
)
from fairlead.domain.tenants.events import (
    AgentCreated,
    EnvironmentCreated,
    OidcSubject,
    PersonAdded,
    PrincipalDisabled,
    PrincipalEnabled,
    RoleGranted,
    RoleWithdrawn,
    TenantCreated,
    TenantReactivated,
    TenantSuspended,
    ToolCapChanged,
    WorkspaceCreated,
)
from fairlead.domain.tenants.identity import actor_of, person_of, principal_of
from fairlead.domain.tenants.states import Tenant
from tests.support.clock import T0
from tests.support.given import given
from tests.support.tenancy import (
    ADMIN,
    BY_OWNER,
    CREATE,
    DEFAULT,
    DEVELOPER,
    LIVE,
    OWNER,
    REVIEWER,
    SECOND,
    TENANT,
    TENANTS,
    TEST,
    harbour,
    signed_in,
    with_person,
    with_service_account,
)

ANN, BOB = PrincipalId("prn_ann"), PrincipalId("prn_bob")
ALL_OF_IT = Grant(Role.OWNER)


def grant_to(principal_id: PrincipalId, grant: Grant, by: PrincipalId = OWNER) -> GrantRole:
    return GrantRole(principal_id=principal_id, grant=grant, by=signed_in(by), now=T0)


def withdraw_from(principal_id: PrincipalId, grant: Grant, by: PrincipalId = OWNER) -> WithdrawRole:
    return WithdrawRole(principal_id=principal_id, grant=grant, by=signed_in(by), now=T0)


def disable(principal_id: PrincipalId, by: PrincipalId = OWNER) -> DisablePrincipal:
    return DisablePrincipal(principal_id=principal_id, reason="left", by=signed_in(by), now=T0)


def add(email: str, name: str = "bob", subject: OidcSubject | None = None) -> AddPerson:
    principal_id = PrincipalId(f"prn_{name}")
    return AddPerson(principal_id=principal_id, email=email, display_name=name, subject=subject, by=BY_OWNER, now=T0)


def agent_for(workflow: str, name: str, workspace_id: WorkspaceId = DEFAULT) -> CreateAgent:
    return CreateAgent(
        principal_id=PrincipalId(f"prn_{name}"),
        name=name,
        workflow_id=WorkflowId(workflow),
        workspace_id=workspace_id,
        by=BY_OWNER,
        now=T0,
    )


def test_a_new_tenant_has_an_owner_a_workspace_and_two_environments() -> None:
    assert given(TENANTS).when(CREATE) == [
        TenantCreated(tenant_id=TENANT, name="Harbour Ltd"),
        WorkspaceCreated(workspace_id=DEFAULT, name="default"),
        EnvironmentCreated(environment_id=LIVE, name="live", kind="live"),
        EnvironmentCreated(environment_id=TEST, name="test", kind="test"),
        PersonAdded(principal_id=OWNER, email="Olga@harbour.example", display_name="Olga Owner"),
        RoleGranted(principal_id=OWNER, grant=ALL_OF_IT),
    ]


def test_a_tenant_is_created_once_and_nothing_is_asked_of_one_that_is_not_there() -> None:
    with pytest.raises(AlreadyExists):
        harbour().when(CREATE)
    with pytest.raises(TenantUnknown):
        given(TENANTS).when(SuspendTenant(reason="unpaid", now=T0))
    with pytest.raises(TenantUnknown):
        principal_of(given(TENANTS).state, OWNER)


def test_workspace_and_environment_names_are_unique_and_plain() -> None:
    def workspace(name: str) -> CreateWorkspace:
        return CreateWorkspace(workspace_id=WorkspaceId("wsp_new"), name=name, by=BY_OWNER, now=T0)

    def environment(name: str) -> CreateEnvironment:
        return CreateEnvironment(environment_id=EnvironmentId("env_new"), name=name, kind="test", by=BY_OWNER, now=T0)

    assert harbour().when(workspace("a" * 63)) == [WorkspaceCreated(workspace_id=WorkspaceId("wsp_new"), name="a" * 63)]
    assert harbour().when(environment("staging")) == [
        EnvironmentCreated(environment_id=EnvironmentId("env_new"), name="staging", kind="test")
    ]
    for taken in (workspace("default"), environment("live")):
        with pytest.raises(AlreadyExists):
            harbour().when(taken)
    for name in ("a" * 64, "", "Upper", "with space", "-x", "a\n"):
        with pytest.raises(Invalid):
            harbour().when(workspace(name))


def test_the_number_of_environments_is_limited() -> None:
    def environment(number: int) -> CreateEnvironment:
        name = f"stage-{number}"
        return CreateEnvironment(
            environment_id=EnvironmentId(f"env_{number}"), name=name, kind="test", by=BY_OWNER, now=T0
        )

    full = harbour().after(*(environment(number) for number in range(limits.MAX_ENVIRONMENTS - 2)))
    with pytest.raises(LimitReached, match="20 environments"):
        full.when(environment(99))


def test_a_person_is_added_once_however_the_e_mail_is_written() -> None:
    tenant = harbour().after(add("bob@harbour.example"))
    with pytest.raises(AlreadyExists):
        tenant.when(add("BOB@Harbour.example", "other"))
    with pytest.raises(AlreadyExists):
        tenant.when(add("olga@HARBOUR.example", "other"))
    with pytest.raises(AlreadyExists):
        tenant.when(add("second@harbour.example", "bob"))


def test_every_fault_of_a_person_is_named_at_once() -> None:
    subject = OidcSubject(issuer="", subject="x" * (limits.MAX_SUBJECT + 1))
    with pytest.raises(Invalid) as refused:
        harbour().when(add("no address", "two\nlines", subject))
    assert {problem.path for problem in refused.value.problems} == {
        "/email", "/display_name", "/subject/issuer", "/subject/subject"}  # fmt: skip


def test_a_person_is_found_by_the_subject_that_the_identity_provider_names() -> None:
    subject = OidcSubject(issuer="https://id.harbour.example", subject="b-1")
    tenant = harbour().after(add("bob@harbour.example", subject=subject))
    assert person_of(tenant.state, subject).principal_id == BOB
    with pytest.raises(AlreadyExists):
        tenant.when(add("other@harbour.example", "other", subject))


def test_a_workflow_has_one_agent_which_may_call_tools_in_its_workspace() -> None:
    tenant = harbour()
    made = tenant.when(agent_for("wfl_1", "agent"))
    assert [type(event) for event in made] == [AgentCreated, RoleGranted]
    tenant = tenant.after(agent_for("wfl_1", "agent"))
    assert tenant.when(agent_for("wfl_1", "another")) == []
    agent = principal_of(tenant.state, PrincipalId("prn_agent"))
    assert may(agent, Permission.TOOL_CALL, DEFAULT, LIVE)
    assert not may(agent, Permission.TOOL_CALL, SECOND, LIVE)
    assert actor_of(agent).kind == "agent"


def test_whoever_publishes_in_a_workspace_creates_agents_there_and_nowhere_else() -> None:
    tenant = with_person(harbour(), "ann", Grant(Role.DEVELOPER, DEFAULT))
    assert tenant.when(replace(agent_for("wfl_1", "agent"), by=signed_in(ANN)))
    with pytest.raises(Denied) as refused:
        tenant.when(replace(agent_for("wfl_1", "agent", SECOND), by=signed_in(ANN)))
    assert refused.value.missing == "workflow:publish"


def test_a_role_is_granted_once_and_withdrawn_once() -> None:
    tenant = with_person(harbour(), "ann", DEVELOPER)
    assert tenant.when(grant_to(ANN, DEVELOPER)) == []
    assert tenant.when(withdraw_from(ANN, DEVELOPER)) == [RoleWithdrawn(principal_id=ANN, grant=DEVELOPER)]
    assert tenant.when(withdraw_from(ANN, REVIEWER)) == []
    gone = principal_of(tenant.after(withdraw_from(ANN, DEVELOPER)).state, ANN)
    assert not may(gone, Permission.RUN_START, DEFAULT, LIVE)


def test_a_role_is_granted_only_where_there_is_a_place_and_somebody() -> None:
    tenant = with_person(harbour(), "ann")
    with pytest.raises(WorkspaceUnknown):
        tenant.when(grant_to(ANN, Grant(Role.DEVELOPER, WorkspaceId("wsp_other"))))
    with pytest.raises(EnvironmentUnknown):
        tenant.when(grant_to(ANN, Grant(Role.DEVELOPER, None, EnvironmentId("env_other"))))
    with pytest.raises(PrincipalUnknown):
        tenant.when(grant_to(BOB, DEVELOPER))


@pytest.mark.parametrize("grant", [Grant(Role.OWNER, DEFAULT), Grant(Role.OWNER, None, LIVE)])
def test_an_owner_owns_the_whole_tenant(grant: Grant) -> None:
    with pytest.raises(OwnerOwnsAll):
        with_person(harbour(), "ann").when(grant_to(ANN, grant))


@pytest.mark.parametrize("role", [Role.OWNER, Role.REVIEWER, Role.AGENT])
def test_a_service_account_neither_owns_nor_signs(role: Role) -> None:
    with pytest.raises(RoleNotForKind):
        with_service_account(harbour(), "bob").when(grant_to(BOB, Grant(role)))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.AGENT])
def test_an_agent_has_no_role_of_people(role: Role) -> None:
    with pytest.raises(RoleNotForKind):
        harbour().after(agent_for("wfl_1", "agent")).when(grant_to(PrincipalId("prn_agent"), Grant(role)))


def test_the_number_of_grants_is_limited() -> None:
    spaces = [WorkspaceId(f"wsp_{number}") for number in range(limits.MAX_GRANTS)]
    made = (CreateWorkspace(workspace_id=w, name=w.replace("_", "-"), by=BY_OWNER, now=T0) for w in spaces)
    tenant = with_person(harbour().after(*made), "ann")
    full = tenant.after(*(grant_to(ANN, Grant(Role.DEVELOPER, space)) for space in spaces))
    with pytest.raises(LimitReached, match="50 grants"):
        full.when(grant_to(ANN, DEVELOPER))


def test_an_admin_cannot_make_unmake_or_revive_an_owner() -> None:
    tenant = with_person(with_person(harbour(), "ann", ADMIN), "bob", ALL_OF_IT)
    enable = EnablePrincipal(principal_id=BOB, by=signed_in(ANN), now=T0)
    for command in (grant_to(ANN, ALL_OF_IT, ANN), withdraw_from(OWNER, ALL_OF_IT, ANN), disable(OWNER, ANN)):
        with pytest.raises(Denied) as refused:
            tenant.when(command)
        assert refused.value.missing == "erasure:write"
    with pytest.raises(Denied):
        tenant.after(disable(BOB)).when(enable)


def test_nobody_manages_principals_without_the_permission() -> None:
    tenant = with_person(with_person(harbour(), "ann", DEVELOPER), "bob", DEVELOPER)
    with pytest.raises(Denied) as refused:
        tenant.when(grant_to(BOB, DEVELOPER, ANN))
    assert refused.value.missing == "principal:manage"


def test_an_admin_of_one_workspace_manages_no_principals_of_the_tenant() -> None:
    tenant = with_person(harbour(), "ann", Grant(Role.ADMIN, DEFAULT))
    with pytest.raises(Denied):
        tenant.when(grant_to(ANN, Grant(Role.REVIEWER, DEFAULT), ANN))


def test_the_last_owner_stays() -> None:
    for command in (disable(OWNER), withdraw_from(OWNER, ALL_OF_IT)):
        with pytest.raises(LastOwner):
            harbour().when(command)
    two = with_person(harbour(), "ann", ALL_OF_IT)
    assert two.when(disable(OWNER)) == [PrincipalDisabled(principal_id=OWNER, reason="left")]
    with pytest.raises(LastOwner):
        two.after(disable(OWNER)).when(disable(ANN, ANN))
    with pytest.raises(LastOwner):
        two.after(disable(OWNER)).when(withdraw_from(ANN, ALL_OF_IT, ANN))


def test_a_disabled_principal_is_nobody_until_enabled_again() -> None:
    tenant = with_person(with_person(harbour(), "ann", ADMIN), "bob", DEVELOPER).after(disable(ANN))
    with pytest.raises(PrincipalIsDisabled):
        principal_of(tenant.state, ANN)
    with pytest.raises(PrincipalIsDisabled):
        tenant.when(disable(BOB, ANN))
    assert tenant.when(disable(ANN)) == []
    enable = EnablePrincipal(principal_id=ANN, by=BY_OWNER, now=T0 + timedelta(days=1))
    assert tenant.when(enable) == [PrincipalEnabled(principal_id=ANN)]
    assert tenant.after(enable).when(enable) == []


def test_a_permission_lost_after_the_request_came_in_is_lost() -> None:
    tenant = with_person(with_person(harbour(), "ann", ADMIN), "bob", DEVELOPER)
    came_in_as = principal_of(tenant.state, ANN)
    late = GrantRole(principal_id=BOB, grant=REVIEWER, by=came_in_as, now=T0)
    assert tenant.when(late)
    with pytest.raises(Denied):
        tenant.after(withdraw_from(ANN, ADMIN)).when(late)


def test_a_suspended_tenant_lets_nobody_act_until_it_is_reactivated() -> None:
    suspend = SuspendTenant(reason="unpaid", now=T0)
    assert harbour().when(suspend) == [TenantSuspended(reason="unpaid")]
    tenant = harbour().after(suspend)
    assert tenant.when(suspend) == []
    with pytest.raises(TenantIsSuspended):
        tenant.when(add("bob@harbour.example"))
    with pytest.raises(TenantIsSuspended):
        principal_of(tenant.state, OWNER)
    assert tenant.when(ReactivateTenant(now=T0)) == [TenantReactivated()]
    assert tenant.after(ReactivateTenant(now=T0)).when(add("bob@harbour.example"))


@pytest.mark.parametrize("cap", [1, 16, limits.MAX_TOOL_CAP])
def test_an_owner_moves_the_cap_on_tools(cap: int) -> None:
    tenant = harbour()
    assert isinstance(tenant.state, Tenant)
    assert tenant.state.tool_cap == 15
    command = ChangeToolCap(cap=cap, by=BY_OWNER, now=T0)
    assert tenant.when(command) == [ToolCapChanged(cap=cap)]
    assert tenant.after(command).when(command) == []


@pytest.mark.parametrize("cap", [0, -1, limits.MAX_TOOL_CAP + 1])
def test_the_cap_on_tools_has_bounds(cap: int) -> None:
    with pytest.raises(Invalid):
        harbour().when(ChangeToolCap(cap=cap, by=BY_OWNER, now=T0))


def test_an_admin_does_not_move_the_cap_on_tools() -> None:
    with pytest.raises(Denied) as refused:
        with_person(harbour(), "ann", ADMIN).when(ChangeToolCap(cap=16, by=signed_in(ANN), now=T0))
    assert refused.value.missing == "tenant:manage"
