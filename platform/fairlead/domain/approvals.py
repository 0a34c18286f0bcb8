"""An approval: people's say over one exact call. Its own stream; it never re-runs a step.

It is bound to a digest of tool, arguments, schema and policy version, and to the fingerprint of the state it showed.
"""

from collections.abc import Mapping
from typing import Any, Literal

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Event
from fairlead.domain.errors import Denied, NotFound, Rejected
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs.events import Escalation

MAX_COMMENT = 2_000
MAX_LEASE_S = 8 * 3_600


class ApprovalRequested(Event, frozen=True, kw_only=True, tag="approval.requested.v1", omit_defaults=True):
    """`evidence` is what reviewers see: the tool's preview (before, after, documents) and the call's arguments.

    `escalations` are in the order of their times, all of them before the deadline."""

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


class ApprovalSigned(Event, frozen=True, kw_only=True, tag="approval.signed.v1"):
    """One person's yes. `missing` more are needed."""

    signed_by: PrincipalId
    comment: str
    missing: int


class ApprovalGranted(Event, frozen=True, kw_only=True, tag="approval.granted.v1"):
    """The last signature is in. `digest` and `fingerprint` are what was signed, for the worker to compare."""

    run_id: RunId
    call_id: CallId
    digest: str
    fingerprint: str
    approved_by: tuple[PrincipalId, ...]


class ApprovalDenied(Event, frozen=True, kw_only=True, tag="approval.denied.v1"):
    """One no is enough, however many have signed."""

    run_id: RunId
    call_id: CallId
    denied_by: PrincipalId
    comment: str


class ApprovalChangesRequested(Event, frozen=True, kw_only=True, tag="approval.changes_requested.v1"):
    """Not like this: the call is not made, and the run is told what should be otherwise."""

    run_id: RunId
    call_id: CallId
    requested_by: PrincipalId
    comment: str


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


class ApprovalExpired(Event, frozen=True, kw_only=True, tag="approval.expired.v1"):
    """The deadline passed with signatures missing; the run treats it as a denial."""

    run_id: RunId
    call_id: CallId


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
    | ApprovalExpired
    | ApprovalWithdrawn
)


class RequestApproval(Struct, frozen=True, kw_only=True):
    requested: ApprovalRequested


class SignApproval(Struct, frozen=True, kw_only=True):
    """`role_names` are the roles that the signer holds in the approval's workspace, looked up by the caller."""

    principal_id: PrincipalId
    principal_kind: Literal["person", "service_account", "agent"]
    role_names: tuple[str, ...]
    digest: str
    comment: str
    now: Instant


class DenyApproval(Struct, frozen=True, kw_only=True):
    principal_id: PrincipalId
    principal_kind: Literal["person", "service_account", "agent"]
    role_names: tuple[str, ...]
    comment: str
    now: Instant


class RequestChanges(Struct, frozen=True, kw_only=True):
    principal_id: PrincipalId
    principal_kind: Literal["person", "service_account", "agent"]
    role_names: tuple[str, ...]
    comment: str
    now: Instant


class EditApproval(Struct, frozen=True, kw_only=True):
    """`digest` is of what was looked at. The caller has seen to it that `arguments` fit the tool."""

    principal_id: PrincipalId
    principal_kind: Literal["person", "service_account", "agent"]
    role_names: tuple[str, ...]
    digest: str
    arguments: Any
    comment: str
    now: Instant


class ClaimApproval(Struct, frozen=True, kw_only=True):
    """`until` None gives a claim back."""

    principal_id: PrincipalId
    principal_kind: Literal["person", "service_account", "agent"]
    role_names: tuple[str, ...]
    until: Instant | None
    now: Instant


class ExpireApproval(Struct, frozen=True, kw_only=True):
    """The time has come for whatever is due: the next role, or the end."""

    now: Instant


class WithdrawApproval(Struct, frozen=True, kw_only=True):
    reason: str


Answering = SignApproval | DenyApproval | RequestChanges | EditApproval
ApprovalCommand = RequestApproval | Answering | ClaimApproval | ExpireApproval | WithdrawApproval

Outcome = Literal["granted", "denied", "changes_requested", "edited", "expired", "withdrawn"]


class NotRequested(Struct, frozen=True):
    pass


class Pending(Struct, frozen=True, kw_only=True):
    """`level` is how often it was escalated; `roles` are those that may answer by now."""

    asked: ApprovalRequested
    roles: tuple[str, ...]
    signed_by: tuple[PrincipalId, ...] = ()
    level: int = 0
    claim: ApprovalClaimed | None = None

    def claimed_by_another(self, who: PrincipalId, now: Instant) -> bool:
        return self.claim is not None and self.claim.claimed_by != who and now < self.claim.until

    @property
    def due_at(self) -> Instant:
        """When something happens by itself."""
        later = self.asked.escalations[self.level :]
        return later[0].at if later else self.asked.deadline_at


class Settled(Struct, frozen=True, kw_only=True):
    asked: ApprovalRequested
    outcome: Outcome
    signed_by: tuple[PrincipalId, ...]


ApprovalState = NotRequested | Pending | Settled


class ApprovalSettled(Rejected):
    """The approval already has its outcome; another answer changes nothing."""

    code = "approval_settled"

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"the approval is already {outcome}")
        self.outcome = outcome


class ApprovalIsClaimed(Rejected):
    """Somebody else looks into it just now."""

    code = "approval_claimed"


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


def initial() -> ApprovalState:
    return NotRequested()


def decide(command: ApprovalCommand, state: ApprovalState) -> list[ApprovalEvent]:
    """Say what happens. Raises ApprovalSettled, DigestMismatch, AlreadySigned, MayNotApprove, NotFound."""
    match command, state:
        case RequestApproval(requested=requested), NotRequested():
            return [requested]
        case (RequestApproval(), _) | (ExpireApproval() | WithdrawApproval(), Settled() | NotRequested()):
            return []
        case _, NotRequested():
            raise NotFound("no such approval")
        case (
            SignApproval() | DenyApproval() | RequestChanges() | EditApproval() | ClaimApproval(),
            Settled() as settled,
        ):
            raise ApprovalSettled(settled.outcome)
        case SignApproval() | DenyApproval() | RequestChanges() | EditApproval() | ClaimApproval() as c, Pending() as p:
            _check_signer(c, p)
            if expired := _expired(p, c.now):
                return expired
            if p.claimed_by_another(c.principal_id, c.now):
                raise ApprovalIsClaimed("somebody else looks into it just now")
            return _claimed(c, p) if isinstance(c, ClaimApproval) else _answered(c, p)
        case ExpireApproval(now=now), Pending() as pending:
            return _expired(pending, now) or _escalated(pending, now)
        case WithdrawApproval(reason=reason), Pending():
            return [ApprovalWithdrawn(reason=reason)]
    raise AssertionError("every command meets every state above")


def _answered(command: Answering, pending: Pending) -> list[ApprovalEvent]:
    run_id, call_id, who = pending.asked.run_id, pending.asked.call_id, command.principal_id
    match command:
        case SignApproval():
            return _sign(command, pending)
        case DenyApproval():
            return [ApprovalDenied(run_id=run_id, call_id=call_id, denied_by=who, comment=_said(command))]
        case RequestChanges():
            return [ApprovalChangesRequested(run_id=run_id, call_id=call_id, requested_by=who, comment=_said(command))]
        case EditApproval(arguments=arguments):
            _check_digest(command, pending)
            safe, _ = redact(arguments)
            edited = ApprovalEdited(
                run_id=run_id, call_id=call_id, edited_by=who, arguments=safe, comment=_said(command)
            )
            return [edited]


def _claimed(command: ClaimApproval, pending: Pending) -> list[ApprovalEvent]:
    held = pending.claim is not None and pending.claim.until > command.now
    if command.until is None and not held:
        return []
    return [ApprovalClaimed(claimed_by=command.principal_id, until=command.until or command.now)]


def _check_digest(command: SignApproval | EditApproval, pending: Pending) -> None:
    if command.digest != pending.asked.digest:
        raise DigestMismatch("the approval is for another call than the one shown")


def _sign(command: SignApproval, pending: Pending) -> list[ApprovalEvent]:
    asked = pending.asked
    _check_digest(command, pending)
    if command.principal_id in pending.signed_by:
        raise AlreadySigned("this person has signed already; another one must")
    signed_by = (*pending.signed_by, command.principal_id)
    missing = asked.count - len(signed_by)
    signed = ApprovalSigned(signed_by=command.principal_id, comment=_said(command), missing=missing)
    if missing > 0:
        return [signed]
    granted = ApprovalGranted(
        run_id=asked.run_id,
        call_id=asked.call_id,
        digest=asked.digest,
        fingerprint=asked.fingerprint,
        approved_by=signed_by,
    )
    return [signed, granted]


def _said(command: Answering) -> str:
    return redact_text(command.comment)[:MAX_COMMENT]


def _check_signer(command: Answering | ClaimApproval, pending: Pending) -> None:
    asked, roles = pending.asked, pending.roles
    if command.principal_kind != "person":
        raise OnlyPeopleApprove("approval:decide", "only people approve")
    if command.principal_id in asked.requested_by:
        raise RequesterMayNotApprove("approval:decide", "whoever asked for the action cannot approve it")
    if not set(command.role_names) & set(roles):
        raise MayNotApprove(f"role:{roles[0]}", f"one of the roles {', '.join(roles)} is required")


def _expired(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    asked = pending.asked
    return [ApprovalExpired(run_id=asked.run_id, call_id=asked.call_id)] if now >= asked.deadline_at else []


def _escalated(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    """Each whose time has come; an engine that was away for long does not skip one."""
    asked, level = pending.asked, pending.level
    return [
        ApprovalEscalated(run_id=asked.run_id, call_id=asked.call_id, level=number, roles=each.roles)
        for number, each in enumerate(asked.escalations[level:], start=level + 1)
        if each.at <= now
    ]


def evolve(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    if isinstance(event, ApprovalRequested):
        return Pending(asked=event, roles=event.roles)
    assert isinstance(state, Pending), "a request comes first and an outcome comes last"
    match event:
        case ApprovalSigned(signed_by=signer):
            return replace(state, signed_by=(*state.signed_by, signer))
        case ApprovalClaimed():
            return replace(state, claim=event)
        case ApprovalEscalated(level=level, roles=roles):
            return replace(state, level=level, roles=tuple(dict.fromkeys((*state.roles, *roles))))
        case _:
            return Settled(asked=state.asked, outcome=_OUTCOMES[type(event)], signed_by=state.signed_by)


_OUTCOMES: Mapping[type[ApprovalEvent], Outcome] = {
    ApprovalGranted: "granted",
    ApprovalDenied: "denied",
    ApprovalChangesRequested: "changes_requested",
    ApprovalEdited: "edited",
    ApprovalExpired: "expired",
    ApprovalWithdrawn: "withdrawn",
}
