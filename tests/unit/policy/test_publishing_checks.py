"""What keeps a policy from being published, all at once; its cases; and explanations of decisions."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.domain.errors import Invalid
from fairlead.domain.policy.cases import run_cases
from fairlead.domain.policy.checks import checked, named_tools
from fairlead.domain.policy.explaining import explain
from tests.support.documents import EXPRESSIONS, TOOLS
from tests.unit.policy.test_judge import ALLOW, call
from tests.unit.policy.test_layers import compiled, layer

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE = DOCS / "examples" / "policies" / "refunds.yaml"
HOW_TO = DOCS / "how-to" / "write-a-policy.md"
ABOUT: dict[str, Any] = {"reason": "r", "tools": ["test.stage"]}
SMALL = {**ABOUT, "id": "small", "verdict": "allow", "when": "args.amount <= 50"}
LARGE = {**ABOUT, "id": "large", "verdict": "require_approval", "when": "args.amount > 50"}


def document(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"fairlead_policy": 1, "rules": [{"reason": "r", **rule} for rule in rules], **fields}


def problems(plain: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        checked(plain, EXPRESSIONS, TOOLS)
    return {problem.path: problem.code for problem in refused.value.problems}


def test_a_sound_policy_passes() -> None:
    assert len(checked(document(SMALL, LARGE), EXPRESSIONS, TOOLS).rules) == 2


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"id": "a", "tools": ["test.gone"], "verdict": "deny"}], {"/rules/0/tools/0": "unknown_tool"}),
        (
            [{"id": "a", "tools": ["test.greet"], "verdict": "deny", "when": "args.nmae == 'x'"}],
            {"/rules/0/when": "unknown_field"},
        ),
        ([{"id": "a"}], {"/rules/0": "rule_says_nothing"}),
        (
            [{"id": "a", "verdict": "allow", "at_most": {"count": 3, "per": "args."}}],
            {"/rules/0/at_most": "at_most_allows", "/rules/0/at_most/per": "expression_invalid"},
        ),
        ([{"id": "a", "verdict": "deny"}, {"id": "b", "verdict": "allow"}], {"/rules/1": "rules_contradict"}),
        (
            [{"id": "a", "verdict": "deny"}, {"id": "b", "verdict": "allow", "tools": ["test.stage"]}],
            {"/rules/1": "rule_unreachable"},
        ),
        (
            [
                {"id": "b", "verdict": "allow", "when": "args.x == 1"},
                {"id": "c", "verdict": "allow", "when": "args.x == 1"},
            ],
            {"/rules/1": "rule_unreachable"},
        ),
    ],
)
def test_a_rule_that_cannot_mean_what_it_says_is_refused(rules: Any, expected: dict[str, str]) -> None:
    assert problems(document(*rules)) == expected


def test_a_rule_that_another_decides_for_may_still_add_points() -> None:
    adds = {"id": "b", "verdict": "allow", "tools": ["test.stage"], "risk": 5}
    assert len(checked(document({"id": "a", "verdict": "deny"}, adds), EXPRESSIONS, TOOLS).rules) == 2


def case(amount: Any, expect: str, **fields: Any) -> dict[str, Any]:
    return {"name": f"{amount}", "call": {"tool": "test.stage", "args": {"amount": amount}}, "expect": expect, **fields}


def test_a_case_that_fails_keeps_the_policy_from_being_published() -> None:
    holds = case(50, "allow", rule="small")
    assert checked(document(SMALL, LARGE, cases=[holds]), EXPRESSIONS, TOOLS).cases
    assert problems(
        document(SMALL, LARGE, cases=[holds, case(51, "allow"), case(51, "require_approval", rule="x")])
    ) == {
        "/cases/1": "case_failed",
        "/cases/2": "case_failed",
    }


def test_cases_say_what_was_decided_and_know_nothing_but_what_they_say() -> None:
    cases = [
        case(51, "require_approval"),
        case("51", "deny", rule="large"),
        {**case(1, "allow"), "call": {"tool": "no.tool"}},
    ]
    policy = checked(document(SMALL, LARGE, cases=cases), EXPRESSIONS)
    first, second, third = run_cases(policy, "tenant", TOOLS, EXPRESSIONS)
    assert (first.passed, first.rule_id) == (True, "tenant:large")
    assert second.passed
    assert (third.passed, third.verdict) == (False, None)
    assert third.fault is not None
    assert named_tools(document(SMALL, LARGE, cases=cases)) == ["test.stage", "no.tool"]


def test_a_case_says_how_much_rules_have_counted_before() -> None:
    often = {**ABOUT, "id": "often", "verdict": "deny", "at_most": {"count": 3, "per": "args.amount"}}
    after = {"reason": "r", "id": "after", "verdict": "deny", "tools": ["test.greet"], "after": {"within": "session"}}
    told = [({"counted": {"often": 2}}, "allow"), ({"counted": {"often": 3}}, "deny"), ({}, "allow")]
    greet: dict[str, Any] = {"tool": "test.greet", "args": {"name": "x"}}
    stage: dict[str, Any] = {"tool": "test.stage", "args": {"amount": 1}}
    cases = [
        *({"name": f"{number}", "call": stage | said, "expect": expect} for number, (said, expect) in enumerate(told)),
        {"name": "happened", "call": greet | {"happened": ["after"]}, "expect": "deny", "rule": "after"},
        {"name": "not yet", "call": greet, "expect": "allow"},
    ]
    policy = checked(document(often, SMALL, after, cases=cases), EXPRESSIONS, TOOLS)
    assert all(result.passed for result in run_cases(policy, "tenant", TOOLS, EXPRESSIONS))


def test_an_explanation_names_each_rule_with_the_values_that_it_read() -> None:
    rules = layer(
        "tenant",
        {"id": "large", "verdict": "deny", "when": "args.amount > 100 && args.currency == 'EUR'"},
        {"id": "elsewhere", "verdict": "deny", "environments": ["test"]},
        {"id": "odd", "verdict": "allow", "when": "args.note == 'x'"},
    )
    found = explain(compiled(rules, own=(ALLOW,)), call())
    assert (found.verdict, found.decided_by) == ("deny", "tenant:large")
    by_id = {rule.rule_id: rule for rule in found.rules}
    assert {name: rule.standing for name, rule in by_id.items()} == {
        "tenant:large": "applies",
        "tenant:elsewhere": "not_about_this_call",
        "tenant:odd": "condition_failed",
        "allow": "applies",
    }
    assert by_id["tenant:large"].values == {"args.amount": 500, "args.currency": "EUR"}
    assert by_id["tenant:odd"].values == {"args.note": {"missing": True}}


def test_an_explanation_shows_no_secret() -> None:
    secret = "sk_live_" + "a1B2c3D4e5F6g7H8i9J0k1L2"
    rule = layer("tenant", {"id": "a", "verdict": "deny", "when": "args.note == 'x'"})
    (found, *_) = explain(compiled(rule), call(arguments={"note": secret})).rules
    assert secret not in str(found.values)


def test_the_example_of_the_documentation_holds() -> None:
    plain = yaml.safe_load(EXAMPLE.read_text())
    results = run_cases(checked(plain, EXPRESSIONS), "tenant", {}, EXPRESSIONS)
    assert [result.name for result in results if not result.passed] == []
    assert len(results) == 6
    rules = plain["rules"]
    shown = yaml.safe_load(HOW_TO.read_text().partition("```yaml\n")[2].partition("```")[0])
    assert shown == {"rules": rules}
