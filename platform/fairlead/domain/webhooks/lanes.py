"""Deliveries of one webhook that wait, in order within each run: what is stuck holds back its own run alone."""

import heapq
from collections import deque
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Kind
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.payload import run_of


class Waiting(Struct, frozen=True, kw_only=True):
    """`number` counts what the webhook is told, in that order. `due_at` is when it is tried next."""

    number: int
    sequence: int
    index: int
    event_type: str
    lane: str
    attempts: int
    due_at: Instant
    first_failed_at: Instant | None = None


def lane_of(kind: Kind, stream_id: str) -> str:
    """A run with its approvals, else the stream."""
    return run_of(kind, stream_id) or f"{kind}/{stream_id}"


class Lanes:
    """In memory, of one webhook. At most one of a lane is under way."""

    def __init__(self, waiting: Iterable[Waiting] = ()) -> None:
        self._lanes: dict[str, deque[Waiting]] = {}
        self._heads: list[tuple[datetime, int, str]] = []
        self._under_way: set[str] = set()
        self._count = 0
        for each in waiting:
            self.add(each)

    def __len__(self) -> int:
        return self._count

    def add(self, waiting: Waiting) -> None:
        """Behind everything in its lane."""
        lane = self._lanes.setdefault(waiting.lane, deque())
        lane.append(waiting)
        self._count += 1
        if len(lane) == 1:
            self._push(waiting)

    def take(self, now: datetime) -> Waiting | None:
        """The next that is due, which is under way from here on."""
        if not self._heads or self._heads[0][0] > now:
            return None
        _, _, lane = heapq.heappop(self._heads)
        self._under_way.add(lane)
        return self._lanes[lane][0]

    def next_due(self) -> datetime | None:
        """Of those that are not under way."""
        return self._heads[0][0] if self._heads else None

    def done(self, waiting: Waiting) -> None:
        self._under_way.discard(waiting.lane)
        lane = self._lanes[waiting.lane]
        lane.popleft()
        self._count -= 1
        if lane:
            self._push(lane[0])
        else:
            del self._lanes[waiting.lane]

    def again(self, waiting: Waiting, due_at: Instant, first_failed_at: Instant) -> None:
        self._under_way.discard(waiting.lane)
        lane = self._lanes[waiting.lane]
        attempts = waiting.attempts + 1
        lane[0] = replace(waiting, attempts=attempts, due_at=due_at, first_failed_at=first_failed_at)
        self._push(lane[0])

    def _push(self, waiting: Waiting) -> None:
        heapq.heappush(self._heads, (waiting.due_at, waiting.number, waiting.lane))
