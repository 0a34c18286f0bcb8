"""Cases that are kept with a policy: calls that nobody makes, and what the policy is to say of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.expressions import Expressions
from fairlead.domain.ids import RunId
from fairlead.domain.policies import ScopeKind
from fairlead.domain.policy.compiled import compile_policy
from fairlead.domain.policy.document import Case, CaseCall, Person, PolicyDocument, ScopePolicy, Verdict
from fairlead.domain.policy.judge import Judgement, ProposedCall, RunSoFar, Who, judge
from fairlead.domain.policy.layers import Layer
from fairlead.domain.tools import ToolFacts

WHEN_NOT_SAID = datetime(2026, 1, 1, 12, tzinfo=UTC)


class CaseResult(Struct, frozen=True, kw_only=True):
    """What the policy says of one of its cases. `fault`: it could not be asked."""

    name: str
    passed: bool
    expected: Verdict
    verdict: Verdict | None = None
    rule_id: str | None = None
    reason: str | None = None
    risk: int = 0
    fault: str | None = None


def run_cases(
    policy: ScopePolicy, kind: ScopeKind, tools: Mapping[str, ToolFacts], expressions: Expressions
) -> list[CaseResult]:
    """Judged by this policy alone, as if the workflow had nothing to say of its own."""
    return [_result(case, policy, kind, tools, expressions) for case in policy.cases]


def _result(
    case: Case, policy: ScopePolicy, kind: ScopeKind, tools: Mapping[str, ToolFacts], expressions: Expressions
) -> CaseResult:
    tool = tools.get(case.call.tool)
    if tool is None and case.call.effect is None:
        fault = f"{case.call.tool} is not installed: say its effect"
        return CaseResult(name=case.name, passed=False, expected=case.expect, fault=fault)
    call = proposed(case.call, tool)
    said = judged_alone(policy, kind, call, expressions)
    passed = said.verdict == case.expect and case.rule in (None, said.rule_id, said.rule_id.partition(":")[2])
    return CaseResult(
        name=case.name,
        passed=passed,
        expected=case.expect,
        verdict=said.verdict,
        rule_id=said.rule_id,
        reason=said.reason,
        risk=said.risk,
    )


def judged_alone(policy: ScopePolicy, kind: ScopeKind, call: ProposedCall, expressions: Expressions) -> Judgement:
    layer = Layer(kind=kind, version=0, document_hash="", document=policy)
    level = policy.autonomy or "act_within_policy"
    compiled = compile_policy(PolicyDocument(), [call.tool], [], call.writes, expressions, [layer], level)
    return judge(compiled, call)


def proposed(call: CaseCall, tool: ToolFacts | None) -> ProposedCall:
    """`tool` is what is installed under that name. The effect is known from one or the other."""
    effect = call.effect or (tool.effect if tool else Effect.DESTRUCTIVE)
    return ProposedCall(
        tool=call.tool,
        effect=effect,
        arguments=call.args,
        writes=call.writes if call.writes is not None else tool.writes if tool else (),
        principal_id=PrincipalId(call.agent.id),
        environment=call.environment,
        run=RunSoFar(
            id=RunId("run_case"),
            input=call.input,
            workflow=call.workflow,
            version=1,
            calls=_with_this_one(call),
            labels=call.labels,
        ),
        now=call.now or WHEN_NOT_SAID,
        agent=_who(call.agent),
        starter=_who(call.starter),
        can_verify=tool.has_verify if tool else True,
    )


def _with_this_one(call: CaseCall) -> dict[str, Any]:
    return call.calls | {call.tool: call.calls.get(call.tool, 0) + 1}


def _who(person: Person) -> Who:
    return Who(id=PrincipalId(person.id), kind=person.kind, roles=person.roles)
