"""Carries the outcome of each approval to the run that waits for it."""

from fairlead.domain import approvals as a
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.ids import ApprovalId
from fairlead.domain.runs.commands import AmendCall, RecordApproval, RecordRefusal, RunCommand
from fairlead.ports import AnyRecorded

NAME = "executor"  # durable consumer; never renamed, or history is replayed
KINDS: tuple[Kind, ...] = ("approval",)


def react(recorded: AnyRecorded) -> list[tuple[StreamRef, RunCommand]]:
    """Which command follows. Pure; the runner sends it under an id made from the commit's position."""
    commit = recorded.commit
    approval_id = ApprovalId(commit.stream_id)
    answers: list[tuple[StreamRef, RunCommand]] = []
    for event in commit.events:
        match event:
            case a.ApprovalGranted():
                granted = RecordApproval(
                    call_id=event.call_id,
                    approval_id=approval_id,
                    digest=event.digest,
                    fingerprint=event.fingerprint,
                    approved_by=event.approved_by,
                    now=commit.at,
                )
                answers.append((StreamRef(commit.tenant_id, "run", event.run_id), granted))
            case a.ApprovalEdited():
                amended = AmendCall(
                    call_id=event.call_id,
                    approval_id=approval_id,
                    arguments=event.arguments,
                    amended_by=event.edited_by,
                    comment=event.comment,
                    now=commit.at,
                )
                answers.append((StreamRef(commit.tenant_id, "run", event.run_id), amended))
            case a.ApprovalDenied() | a.ApprovalExpired() | a.ApprovalChangesRequested():
                refused = RecordRefusal(
                    call_id=event.call_id,
                    approval_id=approval_id,
                    reason=_why(event),
                    by="changes" if isinstance(event, a.ApprovalChangesRequested) else "approval",
                    then=event.then if isinstance(event, a.ApprovalExpired) else "deny",
                    now=commit.at,
                )
                answers.append((StreamRef(commit.tenant_id, "run", event.run_id), refused))
            case _:
                pass
    return answers


def _why(event: a.ApprovalDenied | a.ApprovalExpired | a.ApprovalChangesRequested) -> str:
    if isinstance(event, a.ApprovalExpired):
        return "nobody answered in time"
    return event.comment or "denied"
