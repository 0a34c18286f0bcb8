"""The judge: may this call be made, and if not, who can say otherwise. The same call always gets the same answer."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import rfc8785
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.expressions import Expression, ExpressionFailed, Expressions
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import ApprovalsNeeded, PolicyDocument, Rule, Verdict
from fairlead.domain.workflow.references import reads

CONDITION_VARIABLES = ("args", "tool", "effect", "run", "principal", "env", "now")
"""What `when` may speak of. `run` has id, input, workflow, version and calls: the number so far by tool, with this one.
`now` is RFC 3339 text: compare `timestamp(now)`."""

_STRICTEST_FIRST: tuple[Verdict, ...] = ("deny", "require_approval", "allow")
_VERSION_CHARS = 16


class RunSoFar(Struct, frozen=True, kw_only=True):
    """What a condition can know of the run. `calls` counts per tool and includes the call that is judged."""

    id: RunId
    input: Any
    workflow: str
    version: int
    calls: Mapping[str, int]


class ProposedCall(Struct, frozen=True, kw_only=True):
    """A call before it is made. `effect` and `writes` are the tool's own declaration; `environment` is its kind."""

    tool: str
    effect: Effect
    arguments: Any
    writes: tuple[str, ...]
    principal_id: PrincipalId
    environment: str
    run: RunSoFar
    now: Instant


class Judgement(Struct, frozen=True, kw_only=True):
    """`approvals` is there when the verdict is `require_approval` and only then."""

    verdict: Verdict
    rule_id: str
    reason: str
    policy_version: str
    approvals: ApprovalsNeeded | None = None


class BoundRule(Struct, frozen=True):
    """A rule with its condition compiled."""

    rule: Rule
    condition: Expression | None


class Policy(Struct, frozen=True, kw_only=True):
    """A policy ready to judge by: rules that can apply, strictest first, for each allowed tool and effect."""

    version: str
    forbidden: frozenset[str]
    writes: frozenset[str]
    rules: dict[tuple[str, Effect], tuple[BoundRule, ...]]
    asks_time: frozenset[tuple[str, Effect]]

    def depends_on_time(self, tool: str, effect: Effect) -> bool:
        """Whether a rule that can apply reads `now`. Else a call that is judged again is judged alike."""
        return (tool, effect) in self.asks_time


def compile_policy(
    document: PolicyDocument,
    allowed: Collection[str],
    forbidden: Collection[str],
    writes: Collection[str],
    expressions: Expressions,
) -> Policy:
    """`allowed`, `forbidden` and `writes` are the workflow's lists. Raises ExpressionInvalid."""
    bound = [BoundRule(rule, _condition(rule, expressions)) for rule in document.rules]
    bound.sort(key=lambda each: _STRICTEST_FIRST.index(each.rule.verdict))  # stable: document order within a verdict
    rules = {
        (tool, effect): tuple(each for each in bound if _speaks_of(each.rule, tool, effect))
        for tool in allowed
        for effect in Effect
    }
    return Policy(
        version=_version(document, allowed, forbidden, writes),
        forbidden=frozenset(forbidden),
        writes=frozenset(writes),
        rules=rules,
        asks_time=frozenset(key for key, those in rules.items() if any(_reads_now(each.rule) for each in those)),
    )


def judge(policy: Policy, call: ProposedCall) -> Judgement:
    """The workflow's lists first, then the rules, then what holds where no rule speaks.

    A condition that cannot be evaluated denies, whatever its rule's verdict: an error must never open a door.
    """
    rules = policy.rules.get((call.tool, call.effect))
    if call.tool in policy.forbidden:
        return _deny(policy, "default.forbidden", "the workflow forbids this tool")
    if rules is None:
        return _deny(policy, "default.not_on_allow_list", "the tool is not among the workflow's tools")
    for kind in call.writes:
        if kind not in policy.writes:
            return _deny(policy, "default.undeclared_write", f"the workflow does not declare that it writes {kind}")
    return _by_rules(policy, rules, call) or _by_default(policy, call.effect)


def _by_rules(policy: Policy, rules: tuple[BoundRule, ...], call: ProposedCall) -> Judgement | None:
    """The strictest rule that matches. The laxer ones are still asked, so that none of them fails unnoticed."""
    variables: dict[str, Any] = {}
    winner: Rule | None = None
    for bound in rules:
        if bound.condition is not None:
            variables = variables or _variables(call)
            try:
                if not bound.condition.holds(variables):
                    continue
            except ExpressionFailed as failure:
                return _deny(policy, bound.rule.id, f"condition could not be evaluated: {failure}")
        winner = winner or bound.rule
        if winner.verdict == "deny":
            break
    return None if winner is None else _judgement(policy, winner)


def _judgement(policy: Policy, rule: Rule) -> Judgement:
    needed = (rule.approvals or ApprovalsNeeded()) if rule.verdict == "require_approval" else None
    return Judgement(
        verdict=rule.verdict, rule_id=rule.id, reason=rule.reason, policy_version=policy.version, approvals=needed
    )


def _by_default(policy: Policy, effect: Effect) -> Judgement:
    match effect:
        case Effect.READ:
            return Judgement(
                verdict="allow", rule_id="default.read", reason="reads are allowed", policy_version=policy.version
            )
        case Effect.WRITE:
            return Judgement(
                verdict="require_approval",
                rule_id="default.write_needs_approval",
                reason="no rule speaks of this write",
                policy_version=policy.version,
                approvals=ApprovalsNeeded(),
            )
        case Effect.DESTRUCTIVE:
            return _deny(policy, "default.destructive", "no rule speaks of this destructive call")


def _deny(policy: Policy, rule_id: str, reason: str) -> Judgement:
    return Judgement(verdict="deny", rule_id=rule_id, reason=reason, policy_version=policy.version)


def _condition(rule: Rule, expressions: Expressions) -> Expression | None:
    return None if rule.when is None else expressions.compile(rule.when, CONDITION_VARIABLES)


def _reads_now(rule: Rule) -> bool:
    return rule.when is not None and "now" in reads(rule.when).names


def _speaks_of(rule: Rule, tool: str, effect: Effect) -> bool:
    return (not rule.tools or tool in rule.tools) and (not rule.effects or effect in rule.effects)


def _variables(call: ProposedCall) -> dict[str, Any]:
    run = call.run
    return {
        "args": call.arguments,
        "tool": call.tool,
        "effect": call.effect.value,
        "run": {
            "id": run.id,
            "input": run.input,
            "workflow": run.workflow,
            "version": run.version,
            "calls": dict(run.calls),
        },
        "principal": call.principal_id,
        "env": call.environment,
        "now": call.now.isoformat(),
    }


def _version(
    document: PolicyDocument, allowed: Collection[str], forbidden: Collection[str], writes: Collection[str]
) -> str:
    """Changes whenever any decision could. The order of rules counts, the order of the lists does not."""
    decides = {
        "policy": msgspec.to_builtins(document),
        "allowed": sorted(allowed),
        "forbidden": sorted(forbidden),
        "writes": sorted(writes),
    }
    return hashlib.sha256(rfc8785.dumps(decides)).hexdigest()[:_VERSION_CHARS]
