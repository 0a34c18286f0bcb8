"""Cases that are kept with a policy: calls that nobody makes, and what the policy is to say of them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.expressions import Expressions
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.policies import ScopeKind
from fairlead.domain.policy.compiled import compile_policy
from fairlead.domain.policy.document import Case, CaseCall, Person, PolicyDocument, ScopePolicy, Verdict
from fairlead.domain.policy.judge import Judgement, judge
from fairlead.domain.policy.layers import Layer
from fairlead.domain.policy.proposed import ProposedCall, RunSoFar, Who
from fairlead.domain.policy.sequences import SESSION, Past, rule_of
from fairlead.domain.tallies import Place, PlacesWanted, Want
from fairlead.domain.tools import ToolFacts

T = TypeVar("T")
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
    said = judged_alone(policy, kind, case.call, proposed(case.call, tools), expressions)
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


def judged_alone(
    policy: ScopePolicy, kind: ScopeKind, said: CaseCall, call: ProposedCall, expressions: Expressions
) -> Judgement:
    layer = Layer(kind=kind, version=0, document_hash="", document=policy)
    level = policy.autonomy or "act_within_policy"
    compiled = compile_policy(PolicyDocument(), [call.tool], [], call.writes, expressions, [layer], level)
    return as_told(said, call, partial(judge, compiled))


def as_told(said: CaseCall, call: ProposedCall, ask: Callable[[ProposedCall], T]) -> T:
    """What is asked of a call that nobody makes, with the past that is said of it."""
    while True:
        try:
            return ask(call)
        except PlacesWanted as wanted:
            known = {want.tally: _told(said, want) for want in wanted.wants}
            call = replace(call, past=replace(call.past, places={**call.past.places, **known}))


def _told(said: CaseCall, want: Want) -> Place:
    rule = rule_of(want)
    before = said.counted.get(rule, 0)
    rank = before + 1 if want.limit is None or before < want.limit else None
    return Place(rank=rank, others=before > 0 or rule in said.happened)


def proposed(call: CaseCall, tools: Mapping[str, ToolFacts]) -> ProposedCall:
    """`tools` are those that are installed. The effect is known from one or the other."""
    tool = tools.get(call.tool)
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
        past=_past(call, tools),
    )


def _past(call: CaseCall, tools: Mapping[str, ToolFacts]) -> Past:
    made = [name for name, count in call.calls.items() if count > 0]
    return Past(
        call_id=CallId("tcl_case"),
        run_id="run_case",
        session=call.labels.get(SESSION, ""),
        made=tuple((name, tools[name].effect if name in tools else None) for name in made),
        counts=True,
    )


def _with_this_one(call: CaseCall) -> dict[str, Any]:
    return call.calls | {call.tool: call.calls.get(call.tool, 0) + 1}


def _who(person: Person) -> Who:
    return Who(id=PrincipalId(person.id), kind=person.kind, roles=person.roles)
