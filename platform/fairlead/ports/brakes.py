"""What holds calls back across processes: limits and switches."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.switches.board import Board
from fairlead.domain.switches.verdict import Boards
from fairlead.domain.throttling import Limit


class Over(Struct, frozen=True, kw_only=True):
    """A limit has no room now: for calls of this minute, or for calls at once."""

    limit: Limit
    short_of: Literal["calls", "places"]
    wait_s: float


class Passed(Struct, frozen=True, kw_only=True):
    """What was taken of the limits, for whoever gave it."""

    taken: tuple[Any, ...] = ()
    since_s: float = 0.0


class Throttle(Protocol):
    """Limits that hold across processes."""

    async def enter(self, limits: Sequence[Limit], tenant_id: str) -> Passed | Over:
        """Take a call, and a place, of each limit, or of none. No question is asked where there is no limit.

        Raises Unavailable when the engine does not answer and nothing is left here.
        """

    def leave(self, passed: Passed) -> None:
        """The call has ended: its places are free."""

    async def keep(self) -> None:
        """Say that calls are under way: places of a process that says nothing for a while go to others."""


class Switches(Protocol):
    """The switches that are on, where every process sees them. Derived: the facts are on the log."""

    def known(self) -> Boards | None:
        """As of a moment ago, without a question. None while that cannot be said: nothing may then be done."""

    async def changed(self, timeout_s: float) -> bool:
        """Wait until something else is known than when this was asked. False: the time was up first."""

    async def keep(self, holder: TenantId, board: Board) -> None:
        """Show a holder's board to everybody; one that is older than what is shown is not. Raises Unavailable."""

    async def complete(self) -> None:
        """Every board on the log is kept: from here on what is shown is all there is. Raises Unavailable."""

    async def run(self, fill: Callable[[], Awaitable[None]]) -> None:
        """Watch, until cancelled. `fill` is asked when what is shown may not be all: it keeps every board that is on
        the log, and says `complete`."""
