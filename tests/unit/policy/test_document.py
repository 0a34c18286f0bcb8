"""Bounds of policy documents."""

from typing import Any

import msgspec
import pytest

from fairlead.domain.policy.document import DAY_S, MAX_RULES, ApprovalsNeeded, PolicyDocument

RULE = {"id": "large", "verdict": "require_approval", "reason": "large amounts"}


def read(*rules: dict[str, Any]) -> PolicyDocument:
    return msgspec.convert({"rules": list(rules)}, PolicyDocument)


def test_a_rule_needs_an_id_and_a_reason() -> None:
    assert read(RULE).rules[0].id == "large"
    for key in RULE.keys() - {"verdict"}:
        with pytest.raises(msgspec.ValidationError, match=f"missing required field `{key}`"):
            read({name: value for name, value in RULE.items() if name != key})


def test_people_are_one_reviewer_within_three_days_unless_it_says_otherwise() -> None:
    assert ApprovalsNeeded() == ApprovalsNeeded(count=1, roles=("reviewer",), deadline_s=3 * DAY_S)


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "maybe"},
        {"id": "Large"},
        {"reason": ""},
        {"tools": ["no_connector"]},
        {"effects": ["explode"]},
        {"when": ""},
        {"when": "x" * 4097},
        {"aprovals": {}},
        {"approvals": {"count": 0}},
        {"approvals": {"count": 6}},
        {"approvals": {"roles": []}},
        {"approvals": {"roles": ["Reviewer"]}},
        {"approvals": {"deadline_s": 59}},
        {"approvals": {"deadline_s": 91 * DAY_S}},
        {"approvals": {"anyone": True}},
    ],
)
def test_what_is_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(RULE | wrong)


def test_rules_are_counted() -> None:
    assert len(read(*[RULE] * MAX_RULES).rules) == MAX_RULES
    with pytest.raises(msgspec.ValidationError):
        read(*[RULE] * (MAX_RULES + 1))
