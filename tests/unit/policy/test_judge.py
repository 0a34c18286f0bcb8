"""The judge, rule by rule and by default."""

import itertools
from typing import Any

import msgspec
import pytest
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.adapters.cel import CelExpressions
from fairlead.domain.expressions import ExpressionInvalid
from fairlead.domain.ids import RunId
from fairlead.domain.policy.compiled import Policy, compile_policy
from fairlead.domain.policy.document import ApprovalsNeeded, Escalation, PolicyDocument
from fairlead.domain.policy.judge import Judgement, _together, judge
from fairlead.domain.policy.proposed import ProposedCall, RunSoFar
from tests.support.clock import T0

EXPRESSIONS = CelExpressions()
ALLOWED = ["bills.pay", "bills.list", "bills.erase"]


def policy(*rules: dict[str, Any], **lists: Any) -> Policy:
    document = msgspec.convert({"rules": [{"reason": "as agreed", **rule} for rule in rules]}, PolicyDocument)
    given: dict[str, Any] = {"allowed": ALLOWED, "forbidden": ["bills.burn"], "writes": ["payment"], **lists}
    return compile_policy(document, expressions=EXPRESSIONS, **given)


def call(tool: str = "bills.pay", effect: Effect = Effect.WRITE, **fields: Any) -> ProposedCall:
    given: dict[str, Any] = {
        "arguments": {"amount": 500, "currency": "EUR"},
        "writes": () if effect is Effect.READ else ("payment",),
        "environment": "production",
        "run": RunSoFar(
            id=RunId("run_1"), input={"vip": True}, workflow="pay-bills", version=3, calls={"bills.pay": 2}
        ),
        **fields,
    }
    return ProposedCall(tool=tool, effect=effect, principal_id=PrincipalId("prn_agent"), now=T0, **given)


def said(judgement: Judgement) -> tuple[str, str]:
    return judgement.verdict, judgement.rule_id


ALLOW, DENY, ASK = (
    {"id": "allow", "verdict": "allow"},
    {"id": "deny", "verdict": "deny"},
    {"id": "ask", "verdict": "require_approval"},
)


@pytest.mark.parametrize(
    ("tool", "effect", "expected"),
    [
        ("bills.list", Effect.READ, ("allow", "default.read")),
        ("bills.pay", Effect.WRITE, ("require_approval", "default.write_needs_approval")),
        ("bills.erase", Effect.DESTRUCTIVE, ("deny", "default.destructive")),
    ],
)
def test_without_a_rule_the_effect_decides(tool: str, effect: Effect, expected: tuple[str, str]) -> None:
    assert said(judge(policy(), call(tool, effect))) == expected


def test_a_write_that_no_rule_speaks_of_needs_one_reviewer() -> None:
    assert judge(policy(), call()).approvals == ApprovalsNeeded(count=1, roles=("reviewer",))


@pytest.mark.parametrize("rules", list(itertools.permutations([ALLOW, DENY, ASK])))
def test_deny_wins_over_approval_wins_over_allow_in_any_order(rules: tuple[dict[str, Any], ...]) -> None:
    assert said(judge(policy(*rules), call())) == ("deny", "deny")
    without_deny = [rule for rule in rules if rule is not DENY]
    assert said(judge(policy(*without_deny), call())) == ("require_approval", "ask")


def test_the_first_matching_rule_of_a_verdict_is_named_and_says_who_signs() -> None:
    many = {"id": "many", "verdict": "require_approval", "when": "args.amount > 400", "approvals": {"count": 2}}
    few = {"id": "few", "verdict": "require_approval", "approvals": {"roles": ["owner"], "deadline_s": 60}}
    high = judge(policy(many, few), call())
    low = judge(policy(many, few), call(arguments={"amount": 1}))
    assert (high.rule_id, high.approvals) == ("many", ApprovalsNeeded(count=2))
    assert (low.rule_id, low.approvals) == ("few", ApprovalsNeeded(roles=("owner",), deadline_s=60))


def test_an_approval_rule_without_details_means_one_reviewer() -> None:
    assert judge(policy(ASK), call()).approvals == ApprovalsNeeded()


@pytest.mark.parametrize("rule", [ALLOW, DENY])
def test_only_the_verdict_that_needs_people_carries_approvals(rule: dict[str, Any]) -> None:
    assert judge(policy(rule), call()).approvals is None


def test_a_rule_speaks_only_of_the_tools_and_effects_it_names() -> None:
    other_tool = {**DENY, "tools": ["bills.list"]}
    other_effect = {**DENY, "effects": ["read", "destructive"]}
    both = {**ALLOW, "tools": ["bills.pay", "bills.list"], "effects": ["write"]}
    assert said(judge(policy(other_tool, other_effect, both), call())) == ("allow", "allow")


@pytest.mark.parametrize("rules", [(), (ALLOW,)])
def test_no_rule_opens_what_the_workflow_closes(rules: tuple[dict[str, Any], ...]) -> None:
    judged = policy(*rules, forbidden=["bills.burn", "bills.list"])
    assert said(judge(judged, call("bills.burn"))) == ("deny", "default.forbidden")
    assert said(judge(judged, call("bills.list", Effect.READ))) == ("deny", "default.forbidden")
    assert said(judge(judged, call("mail.send"))) == ("deny", "default.not_on_allow_list")
    undeclared = judge(judged, call(writes=("payment", "vendor")))
    assert said(undeclared) == ("deny", "default.undeclared_write")
    assert "vendor" in undeclared.reason


@pytest.mark.parametrize(
    "condition",
    [
        "args.amount == 500 && args.currency == 'EUR'",
        "tool == 'bills.pay' && effect == 'write'",
        "run.id == 'run_1' && run.workflow == 'pay-bills' && run.version == 3",
        "run.input.vip && run.calls['bills.pay'] == 2",
        "principal == 'prn_agent' && env == 'production'",
        "timestamp(now) == timestamp('2026-03-02T09:00:00Z')",
    ],
)
def test_conditions_know_the_call_and_the_run(condition: str) -> None:
    assert said(judge(policy({**ALLOW, "when": condition}), call())) == ("allow", "allow")


@pytest.mark.parametrize("verdict", ["allow", "deny", "require_approval"])
@pytest.mark.parametrize(
    "condition", ["args.missing > 1", "args.amount", "args.amount > 'x'", "args.amount / 0 > 1", "run.calls['x.y'] > 0"]
)
def test_a_condition_that_cannot_be_evaluated_denies(condition: str, verdict: str) -> None:
    judgement = judge(policy({"id": "odd", "verdict": verdict, "when": condition}, ALLOW), call())
    assert said(judgement) == ("deny", "odd")
    assert judgement.reason.startswith("condition could not be evaluated")
    assert judgement.approvals is None


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), 2**64])
def test_numbers_that_would_compare_as_false_deny(amount: float) -> None:
    judgement = judge(policy({**DENY, "when": "args.amount > 100"}, ALLOW), call(arguments={"amount": amount}))
    assert said(judgement) == ("deny", "deny")


def test_a_broken_condition_about_other_tools_does_no_harm() -> None:
    broken = {"id": "odd", "verdict": "deny", "tools": ["bills.list"], "when": "args.missing > 1"}
    assert said(judge(policy(broken, ALLOW), call())) == ("allow", "allow")


def test_a_laxer_rule_that_fails_denies_too_unless_the_call_is_denied_already() -> None:
    odd = {"id": "odd", "verdict": "allow", "when": "args.missing > 1"}
    assert said(judge(policy(odd, ASK), call())) == ("deny", "odd")
    assert said(judge(policy(odd, DENY), call())) == ("deny", "deny")


@pytest.mark.parametrize("condition", ["amount > 1", "args.amount >", "args.amount.sum()"])
def test_a_condition_outside_the_language_is_refused_when_compiled(condition: str) -> None:
    with pytest.raises(ExpressionInvalid):
        policy({**ALLOW, "when": condition})


def test_the_version_changes_with_whatever_decides_and_with_nothing_else() -> None:
    base = policy(ALLOW, DENY)
    assert policy(ALLOW, DENY, allowed=[*reversed(ALLOWED)]).version == base.version
    others = [
        policy(DENY, ALLOW),
        policy(ALLOW),
        policy({**ALLOW, "reason": "otherwise"}, DENY),
        policy(ALLOW, DENY, allowed=ALLOWED[:2]),
        policy(ALLOW, DENY, forbidden=[]),
        policy(ALLOW, DENY, writes=[]),
    ]
    versions = {each.version for each in (base, *others)}
    assert len(versions) == 1 + len(others)
    assert judge(base, call()).policy_version == base.version


CONDITIONS = st.sampled_from([None, "args.amount > 100", "args.amount > 1000", "args.missing", "run.input.vip"])
RULES = st.lists(
    st.tuples(st.sampled_from(["allow", "deny", "require_approval"]), CONDITIONS, st.sampled_from([(), ("write",)])),
    max_size=6,
)
STRICTNESS = {"allow": 0, "require_approval": 1, "deny": 2}


def listed(rules: list[tuple[str, str | None, tuple[str, ...]]]) -> list[dict[str, Any]]:
    return [
        {"id": f"r{number}", "verdict": verdict, "effects": list(effects)} | ({"when": when} if when else {})
        for number, (verdict, when, effects) in enumerate(rules)
    ]


@given(RULES, st.sampled_from(["deny", "require_approval"]))
def test_a_further_rule_that_closes_never_opens(rules: list[Any], verdict: str) -> None:
    before = judge(policy(*listed(rules)), call())
    after = judge(policy(*listed([*rules, (verdict, None, ())])), call())
    assert STRICTNESS[after.verdict] >= max(STRICTNESS[before.verdict], STRICTNESS[verdict])


@given(RULES)
def test_the_same_call_always_gets_the_same_answer(rules: list[Any]) -> None:
    assert judge(policy(*listed(rules)), call()) == judge(policy(*listed(rules)), call())


def test_a_policy_knows_which_calls_may_be_judged_otherwise_at_another_time() -> None:
    late = {"id": "late", "verdict": "deny", "effects": ["destructive"], "when": "timestamp(now).getHours() > 17"}
    quoted = {"id": "quoted", "verdict": "deny", "when": "args.currency == 'now' || 'known' in args"}
    by_hour = policy(ALLOW, late, quoted)
    assert by_hour.depends_on_moment("bills.erase", Effect.DESTRUCTIVE)
    assert not by_hour.depends_on_moment("bills.pay", Effect.WRITE)


def test_where_several_layers_ask_for_people_only_roles_that_each_of_them_takes_are_asked_later() -> None:
    outer = ApprovalsNeeded(roles=("reviewer", "admin"), escalate=(Escalation(after_s=120, roles=("owner",)),))
    soon, late = Escalation(after_s=60, roles=("admin", "owner")), Escalation(after_s=180, roles=("owner",))
    inner = ApprovalsNeeded(roles=("reviewer",), escalate=(soon, late))
    assert _together([outer]).escalate == outer.escalate
    skipping, ending = replace(outer, on_expiry="skip"), replace(inner, on_expiry="end_run")
    ends = [_together(asking).on_expiry for asking in ([skipping], [skipping, inner], [skipping, ending, inner])]
    assert ends == ["skip", "deny", "end_run"]
    assert _together([outer, inner]).escalate == (
        Escalation(after_s=120, roles=("owner",)),
        Escalation(after_s=60, roles=("admin",)),
        Escalation(after_s=180, roles=("owner",)),
    )
