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
    TellReviewers,
    WithdrawApproval,
)
from fairlead.domain.approvals.errors import (
    AlreadySigned,
    ApprovalIsClaimed,
    ApprovalSettled,
    DigestMismatch,
    LinkRefused,
    MayNotApprove,
    OnlyPeopleApprove,
    RequesterMayNotApprove,
    StrongSignInNeeded,
)
from fairlead.domain.approvals.events import (
    ApprovalChangesRequested,
    ApprovalClaimed,
    ApprovalDenied,
    ApprovalDueSoon,
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
    """Say what happens. Raises ApprovalSettled, DigestMismatch, AlreadySigned, MayNotApprove, LinkRefused, NotFound."""
    match command:
        case RequestApproval(requested=requested):
            return [requested] if isinstance(state, NotRequested) else []
        case ExpireApproval() | WithdrawApproval() | TellReviewers():
            return _gone_on(command, state) if isinstance(state, Pending) else []
        case _:
            return _heard(command, state)


def _gone_on(command: ExpireApproval | WithdrawApproval | TellReviewers, pending: Pending) -> list[ApprovalEvent]:
    match command:
        case ExpireApproval(now=now):
            return _expired(pending, now) or [*_escalated(pending, now), *_due_soon(pending, now)]
        case TellReviewers(told=told):
            return [] if told.notice in pending.notices else [told]
        case WithdrawApproval(reason=reason):
            return [ApprovalWithdrawn(reason=reason)]


def _heard(command: Answering | ClaimApproval, state: ApprovalState) -> list[ApprovalEvent]:
    if isinstance(state, NotRequested):
        raise NotFound("no such approval")
    if isinstance(state, Settled):
        raise ApprovalSettled(state.outcome)
    _check_link(command, state)
    _check_signer(command, state)
    if expired := _expired(state, command.now):
        return expired
    if state.claimed_by_another(command.principal_id, command.now):
        raise ApprovalIsClaimed("somebody else looks into it just now")
    return _claimed(command, state) if isinstance(command, ClaimApproval) else _answered(command, state)


def _answered(command: Answering, pending: Pending) -> list[ApprovalEvent]:
    run_id, call_id, who = pending.asked.run_id, pending.asked.call_id, command.principal_id
    match command:
        case SignApproval():
            return _sign(command, pending)
        case DenyApproval():
            if command.digest is not None:
                _check_digest(command.digest, pending)
            denied = ApprovalDenied(
                run_id=run_id,
                call_id=call_id,
                denied_by=who,
                comment=_said(command),
                on_behalf_of=command.on_behalf_of,
                by_link=command.link_hash is not None,
            )
            return [denied]
        case RequestChanges():
            wished = ApprovalChangesRequested(
                run_id=run_id,
                call_id=call_id,
                requested_by=who,
                comment=_said(command),
                on_behalf_of=command.on_behalf_of,
                by_link=command.link_hash is not None,
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
        by_link=command.link_hash is not None,
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


def _check_link(command: Answering | ClaimApproval, pending: Pending) -> None:
    if command.link_hash is None:
        return
    if pending.asked.strong_sign_in:
        raise StrongSignInNeeded("strong_sign_in", "the rule asks that whoever answers signs in")
    told = pending.told_with(command.link_hash)
    if told is None or (told.principal_id, told.on_behalf_of) != (command.principal_id, command.on_behalf_of):
        raise LinkRefused


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


def _due_soon(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    asked = pending.asked
    if pending.is_due_soon or asked.remind_at is None or now < asked.remind_at:
        return []
    return [ApprovalDueSoon(run_id=asked.run_id, call_id=asked.call_id, deadline_at=asked.deadline_at)]


def _escalated(pending: Pending, now: Instant) -> list[ApprovalEvent]:
    """Each whose time has come; an engine that was away for long does not skip one."""
    asked, level = pending.asked, pending.level
    return [
        ApprovalEscalated(run_id=asked.run_id, call_id=asked.call_id, level=number, roles=each.roles)
        for number, each in enumerate(asked.escalations[level:], start=level + 1)
        if each.at <= now
    ]
