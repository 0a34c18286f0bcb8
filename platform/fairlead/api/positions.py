"""Reading one's own write: a read that names a position waits until what it reads has got there."""

from collections.abc import Iterable, Sequence

from fairlead.api.parts import Positions
from fairlead.domain.errors import Invalid, Problem, Unavailable

HEADER = b"fairlead-position"
MAX_WAIT_S = 2.0
_MAX_DIGITS = 18


class PositionNotReached(Unavailable):
    """What is read here has not yet got to the position that the request names; it will."""

    code = "position_not_reached"


def position_of(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """0 without the header: nothing to wait for. Raises Invalid."""
    sent = [value for name, value in headers if name == HEADER]
    if not sent:
        return 0
    if len(sent) > 1 or not sent[0].isdigit() or len(sent[0]) > _MAX_DIGITS:
        raise Invalid(
            [Problem(path="/Fairlead-Position", message="must be a number that an answer carried")],
            "no such position",
        )
    return int(sent[0])


async def wait(positions: Positions, names: Sequence[str], sequence: int) -> None:
    """Raises PositionNotReached."""
    if sequence and names and not await positions.reached(names, sequence, MAX_WAIT_S):
        raise PositionNotReached(f"what was written at position {sequence}")
