"""One client's stream of server-sent events: what was before it came, from the read model, then what comes, live.

The id of an event is its position, so whoever reconnects with the last one goes on exactly there.
"""

from asyncio import get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.api.commit_pages import LAST
from fairlead.api.live_events import Frame, Listener, LiveEvents, frame_of
from fairlead.api.timeline_events import CommitRow, Place
from fairlead.domain.errors import FairleadError, Unavailable

HEARTBEAT_S = 15.0
OPENING = b"retry: 1000\n\n"  # milliseconds after which a browser reconnects
HEARTBEAT = b": still here\n\n"
CLOSING = b": the server is about to stop; go on after the last id\n\n"
TOO_SLOW = b": this stream was read too slowly; go on after the last id\n\n"
NO_LONGER = b": the credential may not read this any more\n\n"


class History(Protocol):
    """What is already in the read model."""

    async def reached(self, sequence: int) -> bool:
        """Whether it holds everything up to there; waits a bounded time for it."""

    def rows(self, from_sequence: int, to_sequence: int) -> AsyncIterator[list[CommitRow]]: ...


class Wish(Struct, frozen=True, kw_only=True):
    """What a client is to get. `after` None: only what comes. `ended_at`: the run's last commit, if it has ended."""

    tenant_id: TenantId
    after: Place | None
    ended_at: int | None = None


class EventStream:
    """`shows` says of a frame whether the client may see it; `check` raises when the credential is no longer good."""

    def __init__(
        self,
        live: LiveEvents,
        listener: Listener,
        history: History,
        wish: Wish,
        shows: Callable[[Frame], Awaitable[bool]],
        check: Callable[[], Awaitable[object]],
    ) -> None:
        self._live = live
        self._listener = listener
        self._history = history
        self._wish = wish
        self._shows = shows
        self._check = check
        self._place = wish.after or Place(listener.since, LAST)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield OPENING
            async for chunk in self._all():
                yield chunk
        finally:
            self._live.close(self._wish.tenant_id, self._listener)

    async def _all(self) -> AsyncIterator[bytes]:
        if self._place.sequence <= self._listener.since and self._wish.after is not None:
            async for chunk in self._past(self._listener.since):
                yield chunk
        if self._wish.ended_at is not None and self._wish.ended_at <= self._listener.since:
            return
        async for chunk in self._coming():
            yield chunk

    async def _past(self, to_sequence: int) -> AsyncIterator[bytes]:
        while not self._live.closing and not await self._history.reached(to_sequence):
            yield HEARTBEAT
        async for rows in self._history.rows(self._place.sequence, to_sequence):
            if self._live.closing:
                return
            for row in rows:
                frame = frame_of(row)
                if chunk := frame.after(self._place):
                    yield chunk
                self._place = max(self._place, frame.last)

    async def _coming(self) -> AsyncIterator[bytes]:
        checked_at = _now()
        while True:
            frame = await self._listener.take(HEARTBEAT_S)
            if frame is None and (reason := self._over()):
                yield reason
                return
            if _now() - checked_at >= HEARTBEAT_S:
                checked_at = _now()
                if not await self._still_good():
                    yield NO_LONGER
                    return
            if frame is None:
                yield HEARTBEAT
                continue
            if (chunk := frame.after(self._place)) and await self._shows(frame):
                yield chunk
            self._place = max(self._place, frame.last)
            if frame.ends_run and self._listener.run_id is not None:
                return

    def _over(self) -> bytes | None:
        if self._live.closing:
            return CLOSING
        return TOO_SLOW if self._listener.cut_off else None

    async def _still_good(self) -> bool:
        try:
            await self._check()
        except Unavailable:
            return True  # while the log cannot be asked nothing comes from it either
        except FairleadError:
            return False
        return True


def _now() -> float:
    return get_running_loop().time()
