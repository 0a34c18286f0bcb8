"""The judge is asked again at the moment of effect wherever the answer could be another one."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Effect
from msgspec.structs import replace

from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tools import ToolCatalogue
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, TOOLS
from tests.support.runs import WRITE, Run, rules_of

STEP = {"id": "a", "call": WRITE, "with": {}}
TOMORROW = T0 + timedelta(days=1)


def allowed_when(condition: str) -> WorkflowRules:
    rule = {"id": "r", "verdict": "allow", "effects": ["write"], "when": condition, "reason": "test"}
    return rules_of(STEP, policy={"rules": [rule]})


def verdict_tomorrow(run: Run) -> str:
    return run.rules.judge(run.call("a"), run.active, TOMORROW).verdict


def test_a_judgement_that_reads_no_time_stands() -> None:
    run = Run(allowed_when("run.calls['test.stage'] == 1"))
    assert run.rules.stands(run.call("a"))
    assert verdict_tomorrow(run) == "allow"


def test_a_judgement_that_reads_the_time_does_not() -> None:
    run = Run(allowed_when(f"timestamp(now) < timestamp('{TOMORROW.isoformat()}')"))
    assert not run.rules.stands(run.call("a"))
    assert verdict_tomorrow(run) == "require_approval"


@pytest.mark.parametrize("change", [{"version": "1.0.1"}, {"version": "1.0.1", "writes": ("payment",)}])
def test_a_judgement_of_another_version_of_the_tool_does_not(change: dict[str, Any]) -> None:
    run = Run(allowed_when("true"))
    assert with_tool(run.rules, {}).stands(run.call("a"))
    assert not with_tool(run.rules, change).stands(run.call("a"))


def test_a_judgement_under_another_policy_does_not() -> None:
    run = Run(allowed_when("true"))
    assert not allowed_when("true || false").stands(run.call("a"))


def test_a_judgement_of_a_tool_that_is_gone_does_not() -> None:
    run = Run(allowed_when("true"))
    call = run.call("a")
    gone = replace(call, request=replace(call.request, tool="test.gone", effect=Effect.READ))
    assert not run.rules.stands(gone)


def with_tool(rules: WorkflowRules, change: dict[str, Any]) -> WorkflowRules:
    changed = {**TOOLS, WRITE: replace(TOOLS[WRITE], **change)}
    return WorkflowRules(rules.workflow, rules.version, ToolCatalogue(changed.values()), EXPRESSIONS)
