"""Known places in a log: which message holds which notification id."""

from bisect import bisect_left, insort
from typing import NamedTuple

from fairlead.adapters.eventsourcing.drafts import Head


class Mark(NamedTuple):
    """The message at `sequence` brought the log to `last_id`."""

    last_id: int
    sequence: int

    @classmethod
    def of(cls, head: Head) -> "Mark":
        return cls(head.last_id, head.sequence)


class Marks:
    """A bounded, ordered set of marks. What it knows stays true, because messages of the log never change."""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._marks = [Mark(0, 0)]

    def add(self, mark: Mark) -> None:
        place = bisect_left(self._marks, mark)
        if place < len(self._marks) and self._marks[place] == mark:
            return
        insort(self._marks, mark)
        if len(self._marks) > self._limit:
            # Thinned from the old end upwards: followers ask near the new end.
            del self._marks[1 : self._limit // 2 : 2]

    def before(self, notification_id: int) -> Mark:
        """The furthest known message that ends before this id."""
        return self._marks[bisect_left(self._marks, (notification_id,)) - 1]

    def at_or_after(self, notification_id: int) -> Mark | None:
        """The earliest known message that reaches this id."""
        place = bisect_left(self._marks, (notification_id,))
        return self._marks[place] if place < len(self._marks) else None
