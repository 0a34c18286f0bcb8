"""Has those who may answer an approval written to: when it is asked, put before more people, and near its end."""

from fairlead.domain import approvals as a
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.handling.telling import TellOf
from fairlead.ports import AnyRecorded

NAME = "approval_notices"  # durable consumer; never renamed, or history is replayed
KINDS: tuple[Kind, ...] = ("approval",)


def react(recorded: AnyRecorded) -> list[tuple[StreamRef, TellOf]]:
    """Pure; the handler that goes with it looks for the people. What is settled by then is told to nobody."""
    commit = recorded.commit
    wanted: list[tuple[StreamRef, TellOf]] = []
    for event in commit.events:
        match event:
            case a.ApprovalRequested():
                wanted.append((commit.stream, TellOf(notice="requested")))
            case a.ApprovalEscalated(level=level, roles=roles):
                wanted.append((commit.stream, TellOf(notice=f"escalated-{level}", roles=roles)))
            case a.ApprovalDueSoon():
                wanted.append((commit.stream, TellOf(notice="due-soon")))
            case _:
                pass
    return wanted
