"""The judge: may this call be made, and if not, who can say otherwise. The same call always gets the same answer."""

from collections.abc import Mapping
from typing import Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.expressions import ExpressionFailed
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.compiled import BoundRule, Policy
from fairlead.domain.policy.document import NO_OBLIGATIONS, ApprovalsNeeded, Obligations, Verdict
from fairlead.domain.policy.trial import Trial


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
    """`approvals` is there when the verdict is `require_approval` and only then.

    The call may be made on the terms of `obligations` and no other.
    """

    verdict: Verdict
    rule_id: str
    reason: str
    policy_version: str
    approvals: ApprovalsNeeded | None = None
    obligations: Obligations = NO_OBLIGATIONS
    trial: Trial | None = None


def judge(policy: Policy, call: ProposedCall) -> Judgement:
    """The workflow's lists first, then the rules of all layers, then what holds where no rule speaks, then the level.

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
    said = _by_rules(policy, rules, call) or _by_default(policy, call.effect)
    return _within_level(policy, said, call.effect)


def judge_both(policy: Policy, tried: Policy | None, call: ProposedCall) -> Judgement:
    """As `judge`, with what the policy that is only tried would say beside it."""
    said = judge(policy, call)
    if tried is None:
        return said
    other = judge(tried, call)
    trial = Trial(
        verdict=other.verdict, rule_id=other.rule_id, policy_version=other.policy_version, reason=other.reason
    )
    return replace(said, trial=trial)


def _by_rules(policy: Policy, rules: tuple[BoundRule, ...], call: ProposedCall) -> Judgement | None:
    """The strictest rule that matches. The laxer ones are still asked, so that none of them fails unnoticed."""
    variables: dict[str, Any] = {}
    winner: BoundRule | None = None
    asking: dict[int, ApprovalsNeeded] = {}
    for bound in rules:
        if bound.condition is not None:
            variables = variables or variables_of(call)
            try:
                if not bound.condition.holds(variables):
                    continue
            except ExpressionFailed as failure:
                return _deny(policy, bound.name, f"condition could not be evaluated: {failure}")
        winner = winner or bound
        if winner.rule.verdict == "deny":
            break
        if bound.rule.verdict == "require_approval":
            asking.setdefault(bound.layer, bound.rule.approvals or ApprovalsNeeded())
    return None if winner is None else _judgement(policy, winner, [*asking.values()])


def _judgement(policy: Policy, winner: BoundRule, asking: list[ApprovalsNeeded]) -> Judgement:
    return Judgement(
        verdict=winner.rule.verdict,
        rule_id=winner.name,
        reason=winner.rule.reason,
        policy_version=policy.version,
        approvals=_together(asking) if winner.rule.verdict == "require_approval" else None,
    )


def _together(asking: list[ApprovalsNeeded]) -> ApprovalsNeeded:
    """What satisfies each layer that asks for people: the most signatures, the earliest deadline, and roles that all of
    them take; where there is none, those of the outermost."""
    first = asking[0]
    common = [role for role in first.roles if all(role in each.roles for each in asking)]
    return ApprovalsNeeded(
        count=max(each.count for each in asking),
        roles=tuple(common) or first.roles,
        deadline_s=min(each.deadline_s for each in asking),
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


def _within_level(policy: Policy, said: Judgement, effect: Effect) -> Judgement:
    """A level takes away and never gives: what is denied stays denied."""
    if effect is Effect.READ or said.verdict == "deny":
        return said
    if policy.autonomy == "propose_only":
        return Judgement(
            verdict="allow",
            rule_id="autonomy.propose_only",
            reason="the workflow may only propose writes: what the call would do is shown, and nothing is done",
            policy_version=policy.version,
            obligations=Obligations(dry_run=True),
        )
    if policy.autonomy == "approve_writes" and said.verdict == "allow":
        return replace(
            said,
            verdict="require_approval",
            rule_id="autonomy.approve_writes",
            reason="each write of this workflow needs a person",
            approvals=ApprovalsNeeded(),
        )
    return said


def _deny(policy: Policy, rule_id: str, reason: str) -> Judgement:
    return Judgement(verdict="deny", rule_id=rule_id, reason=reason, policy_version=policy.version)


def variables_of(call: ProposedCall) -> dict[str, Any]:
    """What conditions read, by the names in `CONDITION_VARIABLES`."""
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
