"""Shows every change of a switch to every process, also when whoever made it died before it could."""

from fairlead.domain.envelope import Kind, StreamRef
from fairlead.ports import AnyRecorded

NAME = "switch_mirror"  # durable consumer; never renamed, or history is replayed
KINDS: tuple[Kind, ...] = ("switch",)


def react(recorded: AnyRecorded) -> list[tuple[StreamRef, None]]:
    """Pure; what goes with it shows the board as it is by then."""
    return [(recorded.commit.stream, None)]
