"""What a policy that is only tried says, beside the one that decides."""

from msgspec import Struct

from fairlead.domain.policy.document import Verdict


class Trial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    verdict: Verdict
    rule_id: str
    policy_version: str
    reason: str = ""
    risk: int = 0
