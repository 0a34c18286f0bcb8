"""A policy that is only tried: what it would say is recorded beside what decides.

It counts the calls that are really made. Where a rule of it decides as well, it looks at what that one has counted;
where it does not, the rule counts for itself from the time it is tried.
"""

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.policy.compiled import Policy
from fairlead.domain.policy.document import Rule
from fairlead.domain.policy.judge import Judgement, judge
from fairlead.domain.policy.proposed import ProposedCall
from fairlead.domain.policy.trial import Trial


class Tried(Struct, frozen=True):
    """A policy that is only tried; `alike` are its sequence rules that are the same in the one that decides."""

    policy: Policy
    alike: frozenset[str]


def tried_beside(policy: Policy, tried: Policy) -> Tried:
    deciding = _sequence_rules(policy)
    return Tried(tried, frozenset(name for name, rule in _sequence_rules(tried).items() if deciding.get(name) == rule))


def _sequence_rules(policy: Policy) -> dict[str, Rule]:
    counting = [bound for bounds in policy.rules.values() for bound in bounds if bound.rule.at_most or bound.rule.after]
    return {bound.name: bound.rule for bound in (*counting, *policy.awaited)}


def judge_both(policy: Policy, tried: Tried | None, call: ProposedCall) -> Judgement:
    """As `judge`, with what the policy that is only tried would say beside it, of the calls that are really made."""
    said = judge(policy, call)
    if tried is None:
        return said
    other = judge(tried.policy, call, tried.alike)
    trial = Trial(
        verdict=other.verdict,
        rule_id=other.rule_id,
        policy_version=other.policy_version,
        reason=other.reason,
        risk=other.risk,
    )
    return replace(said, trial=trial, places={**said.places, **other.places} if other.places else said.places)
