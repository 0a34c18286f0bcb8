"""The permission table, written out a second time by hand, and the questions asked of it."""

import pytest
from fairlead_tenants.access import (
    CEILING_OF,
    LIVE_ONLY,
    PERMISSIONS_OF,
    ROLES_FOR,
    EnvironmentKind,
    Grant,
    Permission,
    Principal,
    PrincipalKind,
    Role,
    allowed,
    lacking_to_hand_on,
    may,
    workspaces_where,
)
from fairlead_tenants.ids import EnvironmentId, PrincipalId, TenantId, WorkspaceId

A, B = WorkspaceId("wsp_a"), WorkspaceId("wsp_b")
LIVE, TEST = EnvironmentId("env_live"), EnvironmentId("env_test")

# Columns: owner, admin, developer, operator, reviewer, auditor, agent.
TABLE = """
run:read          x x x x x x .
run:start         x x x x . . .
run:control       x x x x . . .
run:signal        x x x x . . .
run:answer        x x x x x . .
run:fork          x x x x . . .
run:repair        x x . x . . .
tool:read         x x x x x x .
tool:call         x x x . . . x
tool:import       x x x . . . .
workflow:read     x x x x x x .
workflow:publish  x x x . . . .
policy:read       x x x x x x .
policy:publish    x x . . . . .
route:read        x x x x x x .
route:publish     x x . . . . .
residency:manage  x x . . . . .
approval:read     x x x x x x .
approval:decide   x x . . x . .
approval:unmask   x x . . . . .
approval:delegate x x . . x . .
connection:read   x x x x . x .
connection:manage x x . x . . .
connector:manage  x x . . . . .
breaker:read      x x x x . x .
breaker:reset     x x . x . . .
switch:read       x x x x x x .
switch:set        x x . x . . .
export:read       x x . x . x .
content:unmask    x x . . . . .
ledger:read       x x . x . x .
ledger:sign       x x . x . . .
audit:read        x x . . . x .
case:read         x x x x x x .
case:report       x x x x x . .
webhook:read      x x . . . x .
webhook:manage    x x . . . . .
retention:read    x x . . . x .
retention:manage  x x . . . . .
hold:manage       x x . . . . .
budget:read       x x . x . x .
budget:manage     x x . . . . .
price:read       x x . . . x .
price:manage     x x . . . . .
cost:read        x x x x . x .
erasure:read      x x . . . x .
erasure:write     x . . . . . .
workspace:read    x x x x x x .
workspace:manage  x x . . . . .
principal:read    x x . . . x .
principal:manage  x x . . . . .
key:read          x x . . . x .
key:manage        x x . . . . .
tenant:read       x x . . . x .
tenant:manage     x . . . . . .
"""
ROWS = {name: marks for name, *marks in (line.split() for line in TABLE.strip().splitlines())}
CELLS = [(role, p, ROWS[p][column] == "x") for p in Permission for column, role in enumerate(Role)]


def principal(
    *grants: Grant,
    kind: PrincipalKind = "person",
    scopes: frozenset[Permission] | None = None,
    environment_id: EnvironmentId | None = None,
    environment_kind: EnvironmentKind | None = None,
) -> Principal:
    return Principal(
        tenant_id=TenantId("tnt_1"),
        principal_id=PrincipalId("prn_1"),
        kind=kind,
        grants=grants,
        scopes=scopes,
        environment_id=environment_id,
        environment_kind=environment_kind,
    )


def test_the_table_has_a_row_for_every_permission_and_a_column_for_every_role() -> None:
    assert set(ROWS) == set(Permission)
    assert {len(marks) for marks in ROWS.values()} == {len(Role)}
    assert set(PERMISSIONS_OF) == set(Role)


@pytest.mark.parametrize(("role", "permission", "expected"), CELLS, ids=lambda value: str(value))
def test_each_role_holds_exactly_what_the_table_says(role: Role, permission: Permission, expected: bool) -> None:
    assert allowed([Grant(role)], permission, A, LIVE) is expected


def test_an_auditor_changes_nothing() -> None:
    assert all(permission.endswith(":read") for permission in PERMISSIONS_OF[Role.AUDITOR])


def test_only_a_person_can_sign_and_no_service_account_owns() -> None:
    assert Permission.APPROVAL_DECIDE in CEILING_OF["person"]
    assert Permission.APPROVAL_DECIDE not in CEILING_OF["service_account"] | CEILING_OF["agent"]
    assert Role.OWNER not in ROLES_FOR["service_account"] | ROLES_FOR["agent"]
    assert not may(principal(Grant(Role.ADMIN), kind="service_account"), Permission.APPROVAL_DECIDE)


def test_an_agent_calls_tools_and_does_nothing_else_whatever_it_was_granted() -> None:
    agent = principal(Grant(Role.OWNER), Grant(Role.AGENT), kind="agent")
    assert {p for p in Permission if may(agent, p)} == {Permission.TOOL_CALL}


def test_a_grant_for_one_workspace_says_nothing_about_another_or_about_all() -> None:
    grants = [Grant(Role.DEVELOPER, A)]
    assert allowed(grants, Permission.RUN_START, A, LIVE)
    assert not allowed(grants, Permission.RUN_START, B, LIVE)
    assert not allowed(grants, Permission.RUN_START, None, LIVE)


def test_a_grant_for_one_environment_says_nothing_about_another_or_about_all() -> None:
    grants = [Grant(Role.DEVELOPER, environment_id=TEST)]
    assert allowed(grants, Permission.RUN_START, A, TEST)
    assert not allowed(grants, Permission.RUN_START, A, LIVE)
    assert not allowed(grants, Permission.WORKFLOW_PUBLISH, A, None)


def test_grants_do_not_combine_into_a_place_that_none_of_them_covers() -> None:
    grants = [Grant(Role.DEVELOPER, A, TEST), Grant(Role.AUDITOR, A, LIVE), Grant(Role.DEVELOPER, B, LIVE)]
    assert not allowed(grants, Permission.RUN_START, A, LIVE)


def test_scopes_narrow_a_key_and_never_widen_it() -> None:
    key = principal(Grant(Role.REVIEWER), scopes=frozenset({Permission.RUN_READ, Permission.RUN_START}))
    assert may(key, Permission.RUN_READ)
    assert not may(key, Permission.RUN_START)
    assert not may(key, Permission.APPROVAL_DECIDE)
    assert not may(principal(Grant(Role.OWNER), scopes=frozenset()), Permission.RUN_READ)


def test_a_key_acts_in_its_own_environment_only() -> None:
    key = principal(Grant(Role.OWNER), environment_id=TEST, environment_kind="test")
    assert may(key, Permission.RUN_START, A, TEST)
    assert not may(key, Permission.RUN_START, A, LIVE)
    signed_in = principal(Grant(Role.OWNER))
    assert may(signed_in, Permission.RUN_START, A, TEST)
    assert may(signed_in, Permission.RUN_START, A, LIVE)


@pytest.mark.parametrize("permission", sorted(LIVE_ONLY))
def test_a_key_for_tests_manages_nothing_that_live_runs_depend_on(permission: Permission) -> None:
    assert not may(principal(Grant(Role.OWNER), environment_id=TEST, environment_kind="test"), permission)
    assert may(principal(Grant(Role.OWNER), environment_id=LIVE, environment_kind="live"), permission)


def test_a_list_looks_in_the_workspaces_of_the_grants_that_give_the_permission() -> None:
    assert workspaces_where(principal(Grant(Role.AUDITOR)), Permission.RUN_READ, LIVE) is None
    mixed = principal(Grant(Role.DEVELOPER, A), Grant(Role.AUDITOR, B), Grant(Role.OPERATOR, B, TEST))
    assert workspaces_where(mixed, Permission.RUN_READ, LIVE) == frozenset({A, B})
    assert workspaces_where(mixed, Permission.RUN_START, LIVE) == frozenset({A})
    assert workspaces_where(mixed, Permission.RUN_START, TEST) == frozenset({A, B})
    assert workspaces_where(principal(), Permission.RUN_READ, LIVE) == frozenset()


def test_what_is_handed_on_is_held_in_the_same_place_by_the_giver() -> None:
    admin = principal(Grant(Role.ADMIN))
    assert lacking_to_hand_on(admin, "person", [Grant(Role.REVIEWER), Grant(Role.ADMIN, A)]) is None
    lacking = lacking_to_hand_on(admin, "person", [Grant(Role.OWNER)])
    assert lacking in {Permission.ERASURE_WRITE, Permission.TENANT_MANAGE}
    assert lacking_to_hand_on(principal(Grant(Role.ADMIN, A)), "person", [Grant(Role.AUDITOR, A)]) is None
    assert lacking_to_hand_on(principal(Grant(Role.ADMIN, A)), "person", [Grant(Role.AUDITOR)]) is not None
    narrowed = principal(Grant(Role.ADMIN), scopes=frozenset({Permission.KEY_MANAGE}))
    only = frozenset({Permission.RUN_READ})
    assert lacking_to_hand_on(narrowed, "service_account", [Grant(Role.AUDITOR)], only) is Permission.RUN_READ
    assert lacking_to_hand_on(admin, "service_account", [Grant(Role.AUDITOR)], only) is None
