"""What an approval answers to a command. Pure: the state and the command are all there is."""

from fairlead.domain.approvals.commands import (
    MAX_COMMENT,
    Answering,
    ApprovalCommand,
    ClaimApproval,
    DenyApproval,
    EditApproval,
    ExpireApproval,
    RequestApproval,
    RequestChanges,
    SignApproval,
    WithdrawApproval,
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
    ApprovalSigned,
    ApprovalWithdrawn,
)
from fairlead.domain.approvals.states import ApprovalState, NotRequested, Pending, Settled
from fairlead.domain.errors import NotFound
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact, redact_text


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
    run_id, call_id = pending.asked.run_id, pending.asked.call_id
    who, other = command.principal_id, command.on_behalf_of
    match command:
        case SignApproval():
            return _sign(command, pending)
        case DenyApproval():
            if command.digest is not None:
                _check_digest(command.digest, pending)
            denied = ApprovalDenied(
                run_id=run_id, call_id=call_id, denied_by=who, comment=_said(command), on_behalf_of=other
            )
            return [denied]
        case RequestChanges():
            wished = ApprovalChangesRequested(
                run_id=run_id, call_id=call_id, requested_by=who, comment=_said(command), on_behalf_of=other
            )
            return [wished]
        case EditApproval(arguments=arguments):
            _check_digest(command.digest, pending)
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


def _check_digest(digest: str, pending: Pending) -> None:
    if digest != pending.asked.digest:
        raise DigestMismatch("the approval is for another call than the one shown")


def _sign(command: SignApproval, pending: Pending) -> list[ApprovalEvent]:
    asked = pending.asked
    _check_digest(command.digest, pending)
    if pending.spent & set(command.people):
        raise AlreadySigned("this person has signed already, or somebody on their behalf; another one must")
    signed_by = (*pending.signed_by, command.principal_id)
    missing = asked.count - len(signed_by)
    signed = ApprovalSigned(
        signed_by=command.principal_id,
        comment=_said(command),
        missing=missing,
        on_behalf_of=command.on_behalf_of,
    )
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
    if set(command.people) & set(asked.requested_by):
        raise RequesterMayNotApprove("approval:decide", "whoever asked for the action cannot approve it")
    if not set(command.role_names) & set(roles):
        raise MayNotApprove(f"role:{roles[0]}", f"one of the roles {', '.join(roles)} is required")


def _expired(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    asked = pending.asked
    expired = ApprovalExpired(run_id=asked.run_id, call_id=asked.call_id, then=asked.on_expiry)
    return [expired] if now >= asked.deadline_at else []


def _escalated(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    """Each whose time has come; an engine that was away for long does not skip one."""
    asked, level = pending.asked, pending.level
    return [
        ApprovalEscalated(run_id=asked.run_id, call_id=asked.call_id, level=number, roles=each.roles)
        for number, each in enumerate(asked.escalations[level:], start=level + 1)
        if each.at <= now
    ]
