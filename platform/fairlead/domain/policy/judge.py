"""The judge: may this call be made, and if not, who can say otherwise. The same call always gets the same answer."""

from collections.abc import Iterator, Mapping

from fairlead_sdk.contract import Effect
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.expressions import ExpressionFailed
from fairlead.domain.policy.compiled import BoundRule, Policy
from fairlead.domain.policy.document import (
    MAX_RISK,
    NO_OBLIGATIONS,
    STRICTEST_EXPIRY_FIRST,
    ApprovalsNeeded,
    Escalation,
    Obligations,
    Rule,
    Verdict,
)
from fairlead.domain.policy.proposed import ProposedCall
from fairlead.domain.policy.readings import Readings
from fairlead.domain.policy.sequences import Asking
from fairlead.domain.policy.trial import Trial


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
    risk: int = 0
    places: Mapping[str, str] = {}
    trial: Trial | None = None


def judge(policy: Policy, call: ProposedCall, alike: frozenset[str] | None = None) -> Judgement:
    """The workflow's lists first, then the rules of all layers, then what holds where no rule speaks, then the level.

    A condition that cannot be evaluated denies, whatever its rule's verdict: an error must never open a door.
    `alike` as for `Asking`. Raises PlacesWanted.
    """
    rules = policy.rules.get((call.tool, call.effect))
    if call.tool in policy.forbidden:
        return _deny(policy, "default.forbidden", "the workflow forbids this tool")
    if rules is None:
        return _deny(policy, "default.not_on_allow_list", "the tool is not among the workflow's tools")
    for kind in call.writes:
        if kind not in policy.writes:
            return _deny(policy, "default.undeclared_write", f"the workflow does not declare that it writes {kind}")
    asking = Asking(call.past, call.now, alike)
    found = _by_rules(policy, rules, call, asking)
    if isinstance(found, Judgement):
        return replace(found, places=asking.used)
    said = (
        _judgement(policy, found.winner, [*found.asking.values()]) if found.winner else _by_default(policy, call.effect)
    )
    said = replace(said, risk=min(found.risk, MAX_RISK))
    said = _on_terms(policy, _within_level(policy, _reviewed(policy, said), call.effect), found.obligations, call)
    return _counted(policy, said, call, asking)


class _Found:
    """What the rules that apply say together. `winner` is the strictest; `asking` is by layer."""

    __slots__ = ("asking", "obligations", "risk", "winner")

    def __init__(self) -> None:
        self.winner: BoundRule | None = None
        self.asking: dict[int, ApprovalsNeeded] = {}
        self.obligations: list[Obligations] = []
        self.risk = 0

    def take(self, bound: BoundRule) -> None:
        rule = bound.rule
        self.risk += rule.risk
        if rule.obligations is not None:
            self.obligations.append(rule.obligations)
        if rule.verdict is None:
            return
        self.winner = self.winner or bound
        if rule.verdict == "require_approval":
            self.asking.setdefault(bound.layer, rule.approvals or ApprovalsNeeded())


def _by_rules(policy: Policy, rules: tuple[BoundRule, ...], call: ProposedCall, asking: Asking) -> _Found | Judgement:
    """The laxer rules are asked as well, so that none of them fails unnoticed; after a denial none is."""
    found, readings = _Found(), Readings(policy, call)
    for bound in rules:
        if not speaks_of(bound.rule, call):
            continue
        if bound.condition is not None:
            try:
                if not readings.hold(bound):
                    continue
            except ExpressionFailed as failure:
                return _deny(policy, bound.name, f"condition could not be evaluated: {failure}")
        if bound.rule.after is not None or bound.rule.at_most is not None:
            try:
                if not asking.applies(bound.name, bound.rule, bound.per, readings.variables):
                    continue
            except ExpressionFailed as failure:
                return _deny(policy, bound.name, f"what it counts by could not be evaluated: {failure}")
        found.take(bound)
        if found.winner is not None and found.winner.rule.verdict == "deny":
            break
    return found


def _counted(policy: Policy, said: Judgement, call: ProposedCall, asking: Asking) -> Judgement:
    """A call that may be made counts where a rule counts, or waits for it to happen. What is only shown does not.

    Raises PlacesWanted while it is not known what others have taken.
    """
    if said.verdict != "deny" and not said.obligations.dry_run:
        for bound in policy.awaited:
            assert bound.rule.after is not None, "it waits for something"
            asking.mark(bound.name, bound.rule.after, call.tool, call.effect)
        asking.settle()
    return replace(said, places=asking.used)


def speaks_of(rule: Rule, call: ProposedCall) -> bool:
    """Whether a rule that fits the tool and the effect fits the call as well, its condition aside."""
    if rule.environments and call.environment not in rule.environments:
        return False
    if rule.kinds and not any(kind in rule.kinds for kind in call.writes):
        return False
    if rule.principals:
        starter = call.starter.id if call.starter else None
        return call.principal_id in rule.principals or starter in rule.principals
    return True


def _reviewed(policy: Policy, said: Judgement) -> Judgement:
    """Calls of much risk need people, even where a rule allows them."""
    review = policy.review
    if review is None or said.verdict != "allow" or said.risk < review.at:
        return said
    return replace(
        said,
        verdict="require_approval",
        rule_id="review.risk",
        reason=f"its risk of {said.risk} points reaches {review.at}",
        approvals=review.approvals,
    )


def _on_terms(policy: Policy, said: Judgement, stated: list[Obligations], call: ProposedCall) -> Judgement:
    if said.verdict == "deny" or not stated:
        return said
    limits = [each.limit_rows for each in stated if each.limit_rows is not None]
    terms = Obligations(
        dry_run=said.obligations.dry_run or any(each.dry_run for each in stated),
        verify=call.effect is not Effect.READ and any(each.verify for each in stated),
        redact=tuple(dict.fromkeys(path for each in stated for path in each.redact)),
        limit_rows=min(limits, default=None),
    )
    if terms.verify and not terms.dry_run and not call.can_verify:
        return _deny(policy, "obligation.verify", "the tool cannot be read back, which a rule asks for")
    return replace(said, obligations=terms)


def _judgement(policy: Policy, winner: BoundRule, asking: list[ApprovalsNeeded]) -> Judgement:
    assert winner.rule.verdict is not None, "only a rule with a verdict wins"
    return Judgement(
        verdict=winner.rule.verdict,
        rule_id=winner.name,
        reason=winner.rule.reason,
        policy_version=policy.version,
        approvals=_together(asking) if winner.rule.verdict == "require_approval" else None,
    )


def _together(asking: list[ApprovalsNeeded]) -> ApprovalsNeeded:
    """What satisfies each layer that asks for people: the most signatures, the earliest deadline, the strictest end,
    and roles that all of them take; where there is none, those of the outermost."""
    first = asking[0]
    common = [role for role in first.roles if all(role in each.roles for each in asking)]
    return ApprovalsNeeded(
        count=max(each.count for each in asking),
        roles=tuple(common) or first.roles,
        deadline_s=min(each.deadline_s for each in asking),
        escalate=tuple(_escalations(asking)),
        strong_sign_in=any(each.strong_sign_in for each in asking),
        on_expiry=min((each.on_expiry for each in asking), key=STRICTEST_EXPIRY_FIRST.index),
    )


def _escalations(asking: list[ApprovalsNeeded]) -> Iterator[Escalation]:
    """Of any layer, to those roles that by then each of them takes."""
    for later in (each for needed in asking for each in needed.escalate):
        roles = tuple(role for role in later.roles if all(_takes(needed, role, later.after_s) for needed in asking))
        if roles:
            yield Escalation(after_s=later.after_s, roles=roles)


def _takes(needed: ApprovalsNeeded, role: str, after_s: int) -> bool:
    return role in needed.roles or any(role in each.roles and each.after_s <= after_s for each in needed.escalate)


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
            risk=said.risk,
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
