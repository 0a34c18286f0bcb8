"""What can have happened to an approval."""

from typing import Any

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Event
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events import Escalation, OnExpiry


class ApprovalRequested(Event, frozen=True, kw_only=True, tag="approval.requested.v1", omit_defaults=True):
    """`evidence` is what reviewers see: the tool's preview (before, after, documents) and the call's arguments.

    `escalations` are in the order of their times, all of them before the deadline. `sensitive` are the places in
    arguments and evidence that not every reviewer sees, as pointers in which `*` is any element. `data_subject` is the
    run's. With `strong_sign_in` it is not answered by a link; at `remind_at` those who may answer are told that its
    deadline is near."""

    run_id: RunId
    call_id: CallId
    workspace_id: WorkspaceId
    workflow_name: str
    tool: str
    arguments: Any
    rule_id: str
    reason: str
    evidence: Any
    fingerprint: str
    digest: str
    count: int
    roles: tuple[str, ...]
    requested_by: tuple[PrincipalId, ...]
    deadline_at: Instant
    escalations: tuple[Escalation, ...] = ()
    on_expiry: OnExpiry = "deny"
    sensitive: tuple[str, ...] = ()
    data_subject: str = ""
    strong_sign_in: bool = False
    remind_at: Instant | None = None


class ApprovalSigned(Event, frozen=True, kw_only=True, tag="approval.signed.v1", omit_defaults=True):
    """One person's yes. `missing` more are needed. `on_behalf_of`: whoever had delegated their approving to them; it
    counts as one signature of both."""

    signed_by: PrincipalId
    comment: str
    missing: int
    on_behalf_of: PrincipalId | None = None
    by_link: bool = False


class ApprovalGranted(Event, frozen=True, kw_only=True, tag="approval.granted.v1"):
    """The last signature is in. `digest` and `fingerprint` are what was signed, for the worker to compare."""

    run_id: RunId
    call_id: CallId
    digest: str
    fingerprint: str
    approved_by: tuple[PrincipalId, ...]


class ApprovalDenied(Event, frozen=True, kw_only=True, tag="approval.denied.v1", omit_defaults=True):
    """One no is enough, however many have signed."""

    run_id: RunId
    call_id: CallId
    denied_by: PrincipalId
    comment: str
    on_behalf_of: PrincipalId | None = None
    by_link: bool = False


class ApprovalChangesRequested(
    Event, frozen=True, kw_only=True, tag="approval.changes_requested.v1", omit_defaults=True
):
    """Not like this: the call is not made, and the run is told what should be otherwise."""

    run_id: RunId
    call_id: CallId
    requested_by: PrincipalId
    comment: str
    on_behalf_of: PrincipalId | None = None
    by_link: bool = False


class ApprovalEdited(Event, frozen=True, kw_only=True, tag="approval.edited.v1"):
    """A reviewer has given the call other arguments. Signatures that there were are void: the call is judged again, and
    where that needs people, others than whoever edited it sign."""

    run_id: RunId
    call_id: CallId
    edited_by: PrincipalId
    arguments: Any
    comment: str


class ApprovalEscalated(Event, frozen=True, kw_only=True, tag="approval.escalated.v1"):
    """Nobody answered in time: these roles may answer now, besides those that could before. `level` counts from 1."""

    run_id: RunId
    call_id: CallId
    level: int
    roles: tuple[str, ...]


class ApprovalClaimed(Event, frozen=True, kw_only=True, tag="approval.claimed.v1"):
    """Somebody looks into it: until then nobody else answers. With the time of the claim it is given back."""

    claimed_by: PrincipalId
    until: Instant


class ApprovalDueSoon(Event, frozen=True, kw_only=True, tag="approval.due_soon.v1"):
    """Signatures are missing, and the deadline is near."""

    run_id: RunId
    call_id: CallId
    deadline_at: Instant


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who was written to, and the SHA-256 of the text of their link; none where a link is not enough."""

    principal_id: PrincipalId
    on_behalf_of: PrincipalId | None = None
    link_hash: str | None = None


class ReviewersTold(Event, frozen=True, kw_only=True, tag="approval.reviewers_told.v1"):
    """Those who may answer are written to: as it is `requested`, as `escalated-<level>`, as `due-soon`. Their links are
    good until one of them is used by its person, the deadline has passed or the approval has its outcome."""

    notice: str
    told: tuple[Told, ...]
    until: Instant


class ApprovalExpired(Event, frozen=True, kw_only=True, tag="approval.expired.v1", omit_defaults=True):
    """The deadline passed with signatures missing. `then` is what the run does; it never makes the call."""

    run_id: RunId
    call_id: CallId
    then: OnExpiry = "deny"


class ApprovalWithdrawn(Event, frozen=True, kw_only=True, tag="approval.withdrawn.v1"):
    """The question is moot: the run ended or the call is no longer the same."""

    reason: str


ApprovalEvent = (
    ApprovalRequested
    | ApprovalSigned
    | ApprovalGranted
    | ApprovalDenied
    | ApprovalChangesRequested
    | ApprovalEdited
    | ApprovalEscalated
    | ApprovalClaimed
    | ApprovalDueSoon
    | ReviewersTold
    | ApprovalExpired
    | ApprovalWithdrawn
)
