"""What rules speak of, what they add to a verdict, and that nothing in a call makes an error open a door."""

from typing import Any

import pytest
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.policy.document import ApprovalsNeeded, Obligations
from fairlead.domain.policy.judge import Judgement, judge
from fairlead.domain.policy.obligations import fulfilled
from fairlead.domain.policy.proposed import Who
from tests.unit.policy.test_judge import ALLOW, DENY, call, policy, said
from tests.unit.policy.test_layers import compiled, layer

ANN = Who(id=PrincipalId("prn_ann"), kind="person", roles=("operator", "reviewer"))


@pytest.mark.parametrize(
    ("scope", "applies"),
    [
        ({"connectors": ["bills"]}, True),
        ({"connectors": ["mail"]}, False),
        ({"kinds": ["vendor", "payment"]}, True),
        ({"kinds": ["vendor"]}, False),
        ({"principals": ["prn_agent"]}, True),
        ({"principals": ["prn_ann"]}, True),
        ({"principals": ["prn_bob"]}, False),
        ({"environments": ["live"]}, True),
        ({"environments": ["test"]}, False),
        ({"connectors": ["bills"], "environments": ["test"]}, False),
        ({"when": "'reviewer' in starter.roles && starter.kind == 'person'"}, True),
        ({"when": "agent.id == principal && connector == 'bills' && 'payment' in kinds"}, True),
        ({"when": "has(run.labels.team) && run.labels.team == 'ap'"}, False),
    ],
)
def test_a_rule_speaks_of_what_it_names(scope: dict[str, Any], applies: bool) -> None:
    proposed = call(environment="live", starter=ANN)
    assert said(judge(policy({**DENY, **scope}, ALLOW), proposed)) == (
        ("deny", "deny") if applies else ("allow", "allow")
    )


FAULTS: dict[str, Any] = {
    "missing": {},
    "wrong type": {"amount": "500"},
    "null": {"amount": None},
    "not a number": {"amount": float("nan")},
    "infinite": {"amount": float("-inf")},
    "huge": {"amount": 2**64},
    "huge and negative": {"amount": -(2**63) - 1},
    "list": {"amount": [1]},
    "object": {"amount": {"value": 1}},
}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("verdict", ["allow", "deny", "require_approval"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_compared_denies(fault: str, verdict: str) -> None:
    rule = {"id": "odd", "verdict": verdict, "when": "args.amount > 100"}
    assert said(judge(policy(rule, ALLOW), call(arguments=FAULTS[fault]))) == ("deny", "odd")


@pytest.mark.parametrize(
    "condition",
    [
        "args.amount * 9223372036854775807 > 1",
        "args.amount + 9223372036854775807 > 0",
        "args.amount / (args.amount - args.amount) > 1",
        "args.amount % 0 == 0",
        "int(args.note) > 1",
        "size(args.amount) > 1",
        "args.deep[0][0] > 1",
        "matches(args.note, '(')",
    ],
)
def test_what_overflows_or_does_not_exist_denies(condition: str) -> None:
    rule = {"id": "odd", "verdict": "allow", "when": condition}
    assert said(judge(policy(rule), call(arguments={"amount": 500, "note": "x", "deep": 1}))) == ("deny", "odd")


@pytest.mark.parametrize("value", [nested(5_000), "x" * 1_100_000])
def test_what_nests_too_deeply_or_is_too_long_denies(value: Any) -> None:
    rule = {"id": "odd", "verdict": "allow", "when": "size(args.note) >= 0"}
    assert said(judge(policy(rule), call(arguments={"note": value}))) == ("deny", "odd")


def test_an_integer_and_the_same_number_with_a_point_are_judged_alike() -> None:
    rule = {"id": "small", "verdict": "allow", "when": "args.amount <= 50"}
    for amount, verdict in (
        (50, "allow"),
        (50.0, "allow"),
        (50.000001, "require_approval"),
        (51, "require_approval"),
        (2**63, "require_approval"),
    ):
        assert judge(policy(rule), call(arguments={"amount": amount})).verdict == verdict


def test_a_rule_that_only_adds_never_decides_and_denies_when_it_fails() -> None:
    points = {"id": "points", "risk": 40, "when": "args.amount > 100"}
    judged = judge(compiled(layer("tenant", points), own=(ALLOW,)), call())
    assert (said(judged), judged.risk) == (("allow", "allow"), 40)
    failed = judge(compiled(layer("tenant", points), own=(ALLOW,)), call(arguments={}))
    assert said(failed) == ("deny", "tenant:points")


def test_points_add_up_and_enough_of_them_need_people() -> None:
    ten, forty = {"id": "ten", "risk": 10}, {"id": "forty", "risk": 40}
    review = {"at": 50, "approvals": {"count": 2, "roles": ["owner"]}}
    below = judge(compiled(layer("tenant", forty, review=review), own=(ALLOW,)), call())
    assert (said(below), below.risk) == (("allow", "allow"), 40)
    reached = judge(compiled(layer("tenant", ten, forty, review=review), own=(ALLOW,)), call())
    assert (said(reached), reached.risk) == (("require_approval", "review.risk"), 50)
    assert reached.approvals == ApprovalsNeeded(count=2, roles=("owner",))
    denied = judge(compiled(layer("tenant", ten, forty, review=review), own=(DENY,)), call())
    assert said(denied) == ("deny", "deny")


def obliged(*obligations: dict[str, Any], **proposed: Any) -> Judgement:
    rules = [{"id": f"o{number}", "obligations": each} for number, each in enumerate(obligations)]
    return judge(compiled(layer("tenant", *rules), own=(ALLOW,)), call(**proposed))


def test_the_obligations_of_all_rules_hold_together() -> None:
    judged = obliged({"redact": ["a"], "limit_rows": 10}, {"redact": ["b", "a"], "limit_rows": 5, "verify": True})
    assert judged.obligations == Obligations(redact=("a", "b"), limit_rows=5, verify=True)


def test_a_call_that_must_be_read_back_and_cannot_be_is_denied() -> None:
    assert said(obliged({"verify": True}, can_verify=False)) == ("deny", "obligation.verify")
    assert obliged({"verify": True}, can_verify=False, tool="bills.list", effect=Effect.READ).verdict == "allow"
    assert obliged({"verify": True, "dry_run": True}, can_verify=False).verdict == "allow"


def test_rows_are_limited_and_fields_taken_out_wherever_they_are() -> None:
    output: Any = {"rows": [{"name": "a", "bank": {"iban": "x"}}, {"name": "b", "bank": {"iban": "y"}}, {"name": "c"}]}
    terms = Obligations(limit_rows=2, redact=("rows.bank.iban", "rows.*.name", "nowhere.at.all"))
    gone = "[redacted:policy]"
    assert fulfilled(terms, output) == {"rows": [{"name": gone, "bank": {"iban": gone}}] * 2}
    assert output["rows"][0]["name"] == "a"
    assert fulfilled(Obligations(limit_rows=1), [[1, 2], [3]]) == [[1]]
    assert fulfilled(Obligations(redact=("*",)), {"a": 1, "b": [2]}) == {"a": gone, "b": gone}
