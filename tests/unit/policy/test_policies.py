"""Versions of policies, which of them the tenant has in force, and what one changed of another."""

from typing import Any

import pytest
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import TenantId, WorkspaceId
from msgspec.structs import replace

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.policies import (
    PolicyPublished,
    PolicyVersionMismatch,
    Published,
    PublishPolicy,
    Scope,
    Unpublished,
    decide,
    evolve,
    policy_id,
)
from fairlead.domain.policy.checks import checked
from fairlead.domain.policy.difference import Change, difference
from fairlead.domain.tenants import decide as tenants
from fairlead.domain.tenants.commands import ChoosePolicy, PolicyMove
from fairlead.domain.tenants.errors import PolicyMovedOn
from fairlead.domain.tenants.states import PolicyChoice, Tenant, TenantState, initial
from fairlead.domain.tenants.states import evolve as evolve_tenant
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS
from tests.support.tenancy import BY_OWNER, CREATE, DEFAULT, OWNER, TENANT

RULE: dict[str, Any] = {
    "id": "no-deletes",
    "verdict": "deny",
    "reason": "nothing is deleted",
    "effects": ["destructive"],
}
DOCUMENT: dict[str, Any] = {"fairlead_policy": 1, "rules": [RULE]}
ID = policy_id(TENANT, Scope())


def _founded() -> Tenant:
    state: TenantState = initial()
    for event in tenants.decide(CREATE, state):
        state = evolve_tenant(state, event)
    assert isinstance(state, Tenant)
    return state


FOUNDED = _founded()


def publish(document: dict[str, Any], expected: int | None = None) -> PublishPolicy:
    return PublishPolicy(scope=Scope(), document=document, reason="first", expected_version=expected)


def test_versions_count_and_the_same_document_is_none() -> None:
    (first,) = decide(publish(DOCUMENT), Unpublished())
    state = evolve(Unpublished(), first)
    assert isinstance(state, Published)
    assert decide(publish(DOCUMENT), state) == []
    (second,) = decide(publish({**DOCUMENT, "title": "Deletes"}), state)
    assert isinstance(second, PolicyPublished)
    assert (first.version, second.version) == (1, 2)
    assert first.document_hash != second.document_hash


def test_an_author_who_saw_another_version_is_told() -> None:
    with pytest.raises(PolicyVersionMismatch):
        decide(publish(DOCUMENT, 3), Unpublished())
    assert decide(publish(DOCUMENT, 0), Unpublished())


def test_each_tenant_workspace_and_name_has_a_policy_of_its_own() -> None:
    here = WorkspaceId("wsp_1")
    scopes = [Scope(), Scope(workspace_id=here), Scope(workspace_id=here, workflow="pay")]
    ids = {policy_id(tenant, scope) for tenant in (TENANT, TenantId("tnt_other")) for scope in scopes}
    assert len(ids) == 6
    assert [scope.kind for scope in scopes] == ["tenant", "workspace", "workflow"]


def choose(move: PolicyMove, version: int | None = None, state: Tenant | None = None, **fields: Any) -> Tenant:
    said: dict[str, Any] = {"by": BY_OWNER, "now": T0, "policy_id": ID, "reason": "why"}
    nowhere: dict[str, Any] = {"workspace_id": None, "workflow": None}
    command = ChoosePolicy(move=move, version=version, **(said | nowhere | fields))
    state = state or FOUNDED
    for event in tenants.decide(command, state):
        moved = evolve_tenant(state, event)
        assert isinstance(moved, Tenant)
        state = moved
    return state


def test_the_tenant_says_which_version_decides_and_which_is_tried() -> None:
    tenant = choose("try", 2, choose("enforce", 1))
    assert tenant.policies[ID] == PolicyChoice(enforced=1, tried=2)
    assert choose("enforce", 2, tenant).policies[ID] == PolicyChoice(enforced=2, tried=None)
    assert choose("lift", None, tenant).policies[ID] == PolicyChoice(enforced=None, tried=None)
    assert choose("enforce", 1, choose("enforce", 1)).policies[ID] == PolicyChoice(enforced=1, tried=None)


def test_only_a_rollback_goes_back_to_an_older_version() -> None:
    tenant = choose("enforce", 3)
    with pytest.raises(PolicyMovedOn):
        choose("enforce", 2, tenant)
    assert choose("roll_back", 2, tenant).policies[ID].enforced == 2


def test_a_reason_is_one_line_and_only_who_may_publish_chooses() -> None:
    with pytest.raises(Invalid):
        choose("enforce", 1, reason="two\nlines")
    owner = FOUNDED.members[OWNER]
    with pytest.raises(Denied):
        choose("enforce", 1, replace(FOUNDED, members={OWNER: replace(owner, grants=(Grant(Role.DEVELOPER),))}))
    narrow = replace(FOUNDED, members={OWNER: replace(owner, grants=(Grant(Role.ADMIN, DEFAULT),))})
    with pytest.raises(Denied):
        choose("enforce", 1, narrow)
    assert choose("enforce", 1, narrow, workspace_id=DEFAULT).policies


def test_a_difference_names_rules_by_their_ids() -> None:
    other = {"id": "refunds", "verdict": "allow", "reason": "small ones", "when": "args.amount <= 50"}
    new = {**DOCUMENT, "rules": [other, RULE | {"reason": "never"}]}
    assert difference(DOCUMENT, new) == [
        Change(op="replace", path="/rules/no-deletes/reason", value="never", before="nothing is deleted"),
        Change(op="add", path="/rules/refunds", value=other),
    ]
    assert difference(new, {**new, "rules": new["rules"][::-1]}) == [
        Change(op="move", path="/rules", value=["no-deletes", "refunds"], before=["refunds", "no-deletes"])
    ]
    assert difference({"a": 1}, {"a": 1.0}) == [Change(op="replace", path="/a", value=1.0, before=1)]


def test_every_problem_is_told_at_once_with_its_path() -> None:
    broken = {
        "fairlead_policy": 2,
        "rules": [RULE | {"when": "args.x >"}, RULE | {"approvals": {}}, {"id": "X"}],
        "extra": 1,
    }
    with pytest.raises(Invalid) as refused:
        checked(broken, EXPRESSIONS)
    paths = {problem.path for problem in refused.value.problems}
    assert {"/fairlead_policy", "/extra", "/rules/0/when", "/rules/1", "/rules/1/approvals", "/rules/2/id"} <= paths
    assert {"/rules/2", "/rules/2/reason"} <= paths
