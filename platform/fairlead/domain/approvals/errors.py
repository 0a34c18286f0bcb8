"""Why an answer is not taken. Codes are public and permanent."""

from fairlead.domain.approvals.states import Outcome
from fairlead.domain.errors import Denied, Rejected


class ApprovalSettled(Rejected):
    """The approval already has its outcome; another answer changes nothing."""

    code = "approval_settled"

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"the approval is already {outcome}")
        self.outcome = outcome


class ApprovalIsClaimed(Rejected):
    """Somebody else looks into it just now."""

    code = "approval_claimed"


class LinkRefused(Denied):
    """The link was altered, is somebody else's, is used, or has ended with its approval."""

    code = "approval_link_refused"

    def __init__(self) -> None:
        super().__init__("approval_link", "this link is no good, or no longer")


class StrongSignInNeeded(Denied):
    """The rule asks that whoever answers signs in."""

    code = "strong_sign_in_needed"


class DigestMismatch(Rejected):
    """The answer was given to something other than what would be done."""

    code = "approval_digest_mismatch"


class AlreadySigned(Rejected):
    """Each signature must come from a different person."""

    code = "approval_already_signed"


class MayNotApprove(Denied):
    """Agents, service accounts and the one who asked never approve; others need one of the named roles."""

    code = "may_not_approve"


class OnlyPeopleApprove(MayNotApprove):
    """A signature is a person's."""

    code = "only_people_approve"


class RequesterMayNotApprove(MayNotApprove):
    """Nobody approves what they asked for themselves."""

    code = "requester_may_not_approve"
