"""Policies of several layers on one call, the levels of autonomy, and policies that are only tried."""

from typing import Any

import msgspec
import pytest
from fairlead_sdk.contract import Effect

from fairlead.domain.policies import ScopeKind
from fairlead.domain.policy.compiled import Policy, compile_policy, level_of
from fairlead.domain.policy.document import ApprovalsNeeded, Autonomy, Obligations, PolicyDocument, ScopePolicy
from fairlead.domain.policy.judge import judge
from fairlead.domain.policy.layers import Layer
from fairlead.domain.policy.trying import judge_both, tried_beside
from fairlead.domain.workflow.plain import document_hash
from tests.unit.policy.test_judge import ALLOW, ALLOWED, ASK, DENY, EXPRESSIONS, call, said

Plain = dict[str, Any]


def layer(kind: ScopeKind, *rules: Plain, **fields: Any) -> Layer:
    plain = {"fairlead_policy": 1, "rules": [{"reason": "as agreed", **rule} for rule in rules], **fields}
    document = msgspec.convert(plain, ScopePolicy)
    return Layer(kind=kind, version=1, document_hash=document_hash(plain), document=document)


def compiled(*layers: Layer, own: tuple[Plain, ...] = (), level: Autonomy = "act_within_policy") -> Policy:
    document = msgspec.convert({"rules": [{"reason": "as agreed", **rule} for rule in own]}, PolicyDocument)
    return compile_policy(document, ALLOWED, [], ["payment"], EXPRESSIONS, layers, level)


@pytest.mark.parametrize("kind", ["tenant", "workspace", "workflow"])
def test_whoever_forbids_forbids_and_the_layer_is_named(kind: ScopeKind) -> None:
    assert said(judge(compiled(layer(kind, DENY), own=(ALLOW,)), call())) == ("deny", f"{kind}:deny")
    assert said(judge(compiled(layer(kind, ALLOW), own=(DENY,)), call())) == ("deny", "deny")


def test_an_allowance_of_one_layer_is_enough_where_no_other_speaks() -> None:
    assert said(judge(compiled(layer("tenant", ALLOW)), call())) == ("allow", "tenant:allow")


def test_a_layer_that_asks_for_people_wins_over_one_that_allows() -> None:
    judged = judge(compiled(layer("workspace", ASK), own=(ALLOW,)), call())
    assert said(judged) == ("require_approval", "workspace:ask")


def test_signatures_satisfy_every_layer_that_asks() -> None:
    outer = ASK | {"approvals": {"count": 1, "roles": ["admin", "owner"], "deadline_s": 600}}
    inner = ASK | {"approvals": {"count": 3, "roles": ["owner", "reviewer"], "deadline_s": 900}}
    judged = judge(compiled(layer("tenant", outer), own=(inner,)), call())
    assert said(judged) == ("require_approval", "tenant:ask")
    assert judged.approvals == ApprovalsNeeded(count=3, roles=("owner",), deadline_s=600)


def test_where_no_role_satisfies_all_the_outermost_layer_says_who_signs() -> None:
    outer = ASK | {"approvals": {"roles": ["admin"]}}
    inner = ASK | {"approvals": {"roles": ["reviewer"], "count": 2}}
    judged = judge(compiled(layer("tenant", outer), layer("workflow", inner)), call())
    assert judged.approvals == ApprovalsNeeded(count=2, roles=("admin",))


def test_a_condition_of_any_layer_that_fails_denies() -> None:
    broken = layer("tenant", {"id": "odd", "verdict": "allow", "when": "args.missing > 1"})
    assert said(judge(compiled(broken, own=(ALLOW,)), call())) == ("deny", "tenant:odd")


def test_the_version_moves_with_every_layer_and_level() -> None:
    versions = {
        compiled().version,
        compiled(layer("tenant", ALLOW)).version,
        compiled(layer("workspace", ALLOW)).version,
        compiled(layer("tenant", DENY)).version,
        compiled(level="approve_writes").version,
    }
    assert len(versions) == 5
    assert compiled(layer("tenant", ALLOW)).version == compiled(layer("tenant", ALLOW)).version


LEVELS: dict[Autonomy, dict[str, tuple[str, str]]] = {
    "propose_only": {"allowed": ("allow", "autonomy.propose_only"), "asked": ("allow", "autonomy.propose_only")},
    "approve_writes": {
        "allowed": ("require_approval", "autonomy.approve_writes"),
        "asked": ("require_approval", "ask"),
    },
    "act_within_policy": {"allowed": ("allow", "allow"), "asked": ("require_approval", "ask")},
}


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_gates_the_same_write_differently(level: Autonomy) -> None:
    expected = LEVELS[level]
    allowed = judge(compiled(own=(ALLOW,), level=level), call())
    assert said(allowed) == expected["allowed"]
    assert said(judge(compiled(own=(ASK,), level=level), call())) == expected["asked"]
    assert allowed.obligations == Obligations(dry_run=level == "propose_only")


@pytest.mark.parametrize("level", LEVELS)
def test_no_level_opens_what_is_denied_or_closes_a_read(level: Autonomy) -> None:
    policy = compiled(own=({**DENY, "effects": ["write"]},), level=level)
    assert said(judge(policy, call())) == ("deny", "deny")
    assert said(judge(policy, call("bills.erase", Effect.DESTRUCTIVE))) == ("deny", "default.destructive")
    assert said(judge(policy, call("bills.list", Effect.READ))) == ("allow", "default.read")


def test_the_strictest_level_that_anybody_states_counts() -> None:
    free, asking = layer("tenant", autonomy="act_within_policy"), layer("workflow", autonomy="approve_writes")
    assert level_of(None, (), "propose_only") == "propose_only"
    assert level_of(None, (free,), "propose_only") == "act_within_policy"
    assert level_of("act_within_policy", (free, asking), "propose_only") == "approve_writes"
    assert level_of("propose_only", (free,), "act_within_policy") == "propose_only"


def test_what_is_only_tried_is_said_beside_what_decides() -> None:
    deciding, tried = compiled(own=(ALLOW,)), compiled(layer("tenant", DENY), own=(ALLOW,))
    judged = judge_both(deciding, tried_beside(deciding, tried), call())
    assert said(judged) == ("allow", "allow")
    assert judged.trial is not None
    assert (judged.trial.verdict, judged.trial.rule_id) == ("deny", "tenant:deny")
    assert judge_both(compiled(own=(ALLOW,)), None, call()).trial is None
