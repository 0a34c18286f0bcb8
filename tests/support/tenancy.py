"""A tenant for tests: one owner, two workspaces, and short ways to say what is asked of it."""

from datetime import timedelta

from fairlead_tenants.access import Grant, Permission, Principal, Role
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId

from fairlead.domain.tenants.commands import (
    AddPerson,
    CreateServiceAccount,
    CreateTenant,
    CreateWorkspace,
    GrantRole,
    IssueKey,
    TenantCommand,
)
from fairlead.domain.tenants.decide import decide
from fairlead.domain.tenants.events import TenantEvent
from fairlead.domain.tenants.states import TenantState, evolve, initial
from tests.support.clock import T0
from tests.support.given import Given, Spec, given

TENANTS: Spec[TenantCommand, TenantState, TenantEvent] = Spec(decide, evolve, initial)

TENANT = TenantId("tnt_00000000000000000000000001")
OWNER = PrincipalId("prn_owner")
DEFAULT, SECOND = WorkspaceId("wsp_default"), WorkspaceId("wsp_second")
LIVE, TEST = EnvironmentId("env_live"), EnvironmentId("env_test")

CREATE = CreateTenant(
    tenant_id=TENANT,
    name="Harbour Ltd",
    owner_id=OWNER,
    owner_email="Olga@harbour.example",
    owner_display_name="Olga Owner",
    workspace_id=DEFAULT,
    live_environment_id=LIVE,
    test_environment_id=TEST,
    now=T0,
)

TenantGiven = Given[TenantCommand, TenantState, TenantEvent]


def signed_in(principal_id: PrincipalId) -> Principal:
    """Without a key. The decision looks up what the principal holds."""
    return Principal(tenant_id=TENANT, principal_id=principal_id, kind="person", grants=())


BY_OWNER = signed_in(OWNER)


def harbour() -> TenantGiven:
    second = CreateWorkspace(workspace_id=SECOND, name="second", by=BY_OWNER, now=T0)
    return given(TENANTS).after(CREATE, second)


def with_person(tenant: TenantGiven, name: str, *grants: Grant) -> TenantGiven:
    """A person `prn_<name>` with these grants from the owner."""
    person = AddPerson(
        principal_id=PrincipalId(f"prn_{name}"), email=f"{name}@harbour.example", display_name=name, by=BY_OWNER, now=T0
    )
    return _with(tenant, person, grants)


def with_service_account(tenant: TenantGiven, name: str, *grants: Grant) -> TenantGiven:
    """A service account `prn_<name>` with these grants from the owner."""
    created = CreateServiceAccount(principal_id=PrincipalId(f"prn_{name}"), name=name, by=BY_OWNER, now=T0)
    return _with(tenant, created, grants)


def _with(tenant: TenantGiven, created: AddPerson | CreateServiceAccount, grants: tuple[Grant, ...]) -> TenantGiven:
    granted = [GrantRole(principal_id=created.principal_id, grant=grant, by=BY_OWNER, now=T0) for grant in grants]
    return tenant.after(created, *granted)


def issue(
    principal_id: PrincipalId,
    key: str = "k1",
    *,
    by: Principal = BY_OWNER,
    scopes: frozenset[Permission] | None = None,
    environment_id: EnvironmentId = LIVE,
    life: timedelta = timedelta(days=90),
) -> IssueKey:
    return IssueKey(
        key_id=ApiKeyId(f"key_{key}"),
        principal_id=principal_id,
        name=f"key {key}",
        hash=f"hash of {key}",
        last_four=key[-4:],
        environment_id=environment_id,
        expires_at=T0 + life,
        scopes=scopes,
        by=by,
        now=T0,
    )


DEVELOPER, REVIEWER, ADMIN = Grant(Role.DEVELOPER), Grant(Role.REVIEWER), Grant(Role.ADMIN)
