"""Why a call is judged as it is: every rule that was asked, whether it applies, and the values that made it so."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from fairlead.domain.expressions import ExpressionFailed
from fairlead.domain.policy.compiled import CONDITION_VARIABLES, BoundRule, Policy
from fairlead.domain.policy.document import Autonomy, Verdict
from fairlead.domain.policy.judge import Judgement, judge, speaks_of
from fairlead.domain.policy.proposed import ProposedCall
from fairlead.domain.policy.readings import Readings
from fairlead.domain.policy.sequences import Asking
from fairlead.domain.redaction import redact
from fairlead.domain.workflow.references import paths

MAX_VALUE_BYTES = 1_024
MISSING = {"missing": True}

Standing = Literal["applies", "condition_is_false", "condition_failed", "not_about_this_call", "past_is_otherwise"]


class RuleExplained(Struct, frozen=True, kw_only=True):
    """`values` are what the condition reads, by name, without secrets; what is not there is `{"missing": true}`.

    `past_is_otherwise`: the condition holds, and what the rule waits for had not happened, or not so many calls had
    been made, when the call was judged.
    """

    rule_id: str
    standing: Standing
    verdict: Verdict | None
    reason: str
    risk: int
    when: str | None
    values: dict[str, Any]
    fault: str | None = None


class Explanation(Struct, frozen=True, kw_only=True):
    """`rules` are those that speak of the tool and its effect, strictest first. `decided_by` is one of them, or a
    default. `counted_in` are the tallies, by rule, in which the call has a place or would have one."""

    verdict: Verdict
    decided_by: str
    reason: str
    policy_version: str
    autonomy: Autonomy
    risk: int
    rules: list[RuleExplained]
    counted_in: dict[str, str] = {}


def explain(policy: Policy, call: ProposedCall) -> Explanation:
    """Raises PlacesWanted for whatever a rule asks of the past, where the call's past counts."""
    said: Judgement = judge(policy, call)
    readings, asking = Readings(policy, call), Asking(call.past, call.now)
    rules = [_explained(bound, call, readings, asking) for bound in policy.rules.get((call.tool, call.effect), ())]
    asking.settle()
    return Explanation(
        verdict=said.verdict,
        decided_by=said.rule_id,
        reason=said.reason,
        policy_version=policy.version,
        autonomy=policy.autonomy,
        risk=said.risk,
        rules=rules,
        counted_in=dict(said.places) if said.verdict != "deny" and not said.obligations.dry_run else {},
    )


def _explained(bound: BoundRule, call: ProposedCall, readings: Readings, asking: Asking) -> RuleExplained:
    standing, fault = _standing(bound, call, readings, asking)
    rule = bound.rule
    return RuleExplained(
        rule_id=bound.name,
        standing=standing,
        verdict=rule.verdict,
        reason=rule.reason,
        risk=rule.risk,
        when=rule.when,
        values={path: _shown(path, readings.variables) for path in paths(rule.when or "", CONDITION_VARIABLES)},
        fault=fault,
    )


def _standing(bound: BoundRule, call: ProposedCall, readings: Readings, asking: Asking) -> tuple[Standing, str | None]:
    if not speaks_of(bound.rule, call):
        return "not_about_this_call", None
    try:
        if bound.condition is not None and not readings.hold(bound):
            return "condition_is_false", None
        return (
            "applies" if asking.applies(bound.name, bound.rule, bound.per, readings.variables) else "past_is_otherwise"
        ), None
    except ExpressionFailed as failure:
        return "condition_failed", str(failure)


def _shown(path: str, variables: dict[str, Any]) -> Any:
    value: Any = variables
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    safe, _ = redact(value)
    size_bytes = len(msgspec.json.encode(safe))
    return safe if size_bytes <= MAX_VALUE_BYTES else {"size_bytes": size_bytes}
