"""An approval: people's say over one exact call. Its own stream; it never re-runs a step.

It is bound to a digest of tool, arguments, schema and policy version, and to the fingerprint of the state it showed.
"""

from typing import Any, Literal

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Event
from fairlead.domain.errors import Denied, NotFound, Rejected
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact_text

MAX_COMMENT = 2_000


class ApprovalRequested(Event, frozen=True, kw_only=True, tag="approval.requested.v1"):
    """`evidence` is what reviewers see: the tool's preview (before, after, documents) and the call's arguments."""

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


class ApprovalExpired(Event, frozen=True, kw_only=True, tag="approval.expired.v1"):
    """The deadline passed with signatures missing; the run treats it as a denial."""

    run_id: RunId
    call_id: CallId


class ApprovalWithdrawn(Event, frozen=True, kw_only=True, tag="approval.withdrawn.v1"):
    """The question is moot: the run ended or the call is no longer the same."""

    reason: str


ApprovalEvent = (
    ApprovalRequested | ApprovalSigned | ApprovalGranted | ApprovalDenied | ApprovalExpired | ApprovalWithdrawn
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


class ExpireApproval(Struct, frozen=True, kw_only=True):
    now: Instant


class WithdrawApproval(Struct, frozen=True, kw_only=True):
    reason: str


ApprovalCommand = RequestApproval | SignApproval | DenyApproval | ExpireApproval | WithdrawApproval

Outcome = Literal["granted", "denied", "expired", "withdrawn"]


class NotRequested(Struct, frozen=True):
    pass


class Pending(Struct, frozen=True, kw_only=True):
    asked: ApprovalRequested
    signed_by: tuple[PrincipalId, ...] = ()


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
        case SignApproval() | DenyApproval(), Settled(outcome=outcome):
            raise ApprovalSettled(outcome)
        case SignApproval() as c, Pending() as pending:
            return _sign(c, pending)
        case DenyApproval() as c, Pending(asked=asked) as pending:
            _check_signer(c, asked)
            return _expired(pending, c.now) or [
                ApprovalDenied(run_id=asked.run_id, call_id=asked.call_id, denied_by=c.principal_id, comment=_said(c))
            ]
        case ExpireApproval(now=now), Pending() as pending:
            return _expired(pending, now)
        case WithdrawApproval(reason=reason), Pending():
            return [ApprovalWithdrawn(reason=reason)]
    raise AssertionError("every command meets every state above")


def _sign(command: SignApproval, pending: Pending) -> list[ApprovalEvent]:
    asked = pending.asked
    _check_signer(command, asked)
    if expired := _expired(pending, command.now):
        return expired
    if command.digest != asked.digest:
        raise DigestMismatch("the approval is for another call than the one shown")
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


def _said(command: SignApproval | DenyApproval) -> str:
    return redact_text(command.comment)[:MAX_COMMENT]


def _check_signer(command: SignApproval | DenyApproval, asked: ApprovalRequested) -> None:
    if command.principal_kind != "person":
        raise OnlyPeopleApprove("approval:decide", "only people approve")
    if command.principal_id in asked.requested_by:
        raise RequesterMayNotApprove("approval:decide", "whoever asked for the action cannot approve it")
    if not set(command.role_names) & set(asked.roles):
        raise MayNotApprove(f"role:{asked.roles[0]}", f"one of the roles {', '.join(asked.roles)} is required")


def _expired(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    asked = pending.asked
    return [ApprovalExpired(run_id=asked.run_id, call_id=asked.call_id)] if now >= asked.deadline_at else []


def evolve(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    if isinstance(event, ApprovalRequested):
        return Pending(asked=event)
    assert isinstance(state, Pending), "a request comes first and an outcome comes last"
    match event:
        case ApprovalSigned(signed_by=signer):
            return replace(state, signed_by=(*state.signed_by, signer))
        case ApprovalGranted():
            return _settled(state, "granted")
        case ApprovalDenied():
            return _settled(state, "denied")
        case ApprovalExpired():
            return _settled(state, "expired")
        case ApprovalWithdrawn():
            return _settled(state, "withdrawn")


def _settled(state: Pending, outcome: Outcome) -> Settled:
    return Settled(asked=state.asked, outcome=outcome, signed_by=state.signed_by)
