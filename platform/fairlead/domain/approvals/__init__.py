"""An approval: people's say over one exact call. Its own stream; it never re-runs a step.

It is bound to a digest of tool, arguments, schema and policy version, and to the fingerprint of the state it showed.

events.py what can have happened · states.py what is remembered · commands.py what can be asked · decide.py the answer
"""

from fairlead.domain.approvals.commands import (
    MAX_COMMENT,
    MAX_LEASE_S,
    Answering,
    ApprovalCommand,
    ClaimApproval,
    DenyApproval,
    EditApproval,
    ExpireApproval,
    RequestApproval,
    RequestChanges,
    ReviewerCommand,
    SignApproval,
    WithdrawApproval,
)
from fairlead.domain.approvals.decide import (
    decide,
)
from fairlead.domain.approvals.errors import (
    AlreadySigned,
    ApprovalIsClaimed,
    ApprovalSettled,
    DigestMismatch,
    MayNotApprove,
    OnlyPeopleApprove,
    RequesterMayNotApprove,
)
from fairlead.domain.approvals.events import (
    ApprovalChangesRequested,
    ApprovalClaimed,
    ApprovalDenied,
    ApprovalEdited,
    ApprovalEscalated,
    ApprovalEvent,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalWithdrawn,
)
from fairlead.domain.approvals.states import (
    ApprovalState,
    NotRequested,
    Outcome,
    Pending,
    Settled,
    evolve,
    initial,
    subject,
)

__all__ = [
    "MAX_COMMENT",
    "MAX_LEASE_S",
    "AlreadySigned",
    "Answering",
    "ApprovalChangesRequested",
    "ApprovalClaimed",
    "ApprovalCommand",
    "ApprovalDenied",
    "ApprovalEdited",
    "ApprovalEscalated",
    "ApprovalEvent",
    "ApprovalExpired",
    "ApprovalGranted",
    "ApprovalIsClaimed",
    "ApprovalRequested",
    "ApprovalSettled",
    "ApprovalSigned",
    "ApprovalState",
    "ApprovalWithdrawn",
    "ClaimApproval",
    "DenyApproval",
    "DigestMismatch",
    "EditApproval",
    "ExpireApproval",
    "MayNotApprove",
    "NotRequested",
    "OnlyPeopleApprove",
    "Outcome",
    "Pending",
    "RequestApproval",
    "RequestChanges",
    "RequesterMayNotApprove",
    "ReviewerCommand",
    "Settled",
    "SignApproval",
    "WithdrawApproval",
    "decide",
    "evolve",
    "initial",
    "subject",
]
