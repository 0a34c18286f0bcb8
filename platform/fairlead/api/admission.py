"""Whether new work is taken: past the limit it is refused before anything is written."""

import time
from collections.abc import Awaitable, Callable

from fairlead.api.problems import Overloaded
from fairlead.domain.errors import Unavailable

MEASURED_FOR_S = 0.5
RETRY_AFTER_S = 5


class BacklogFull(Overloaded):
    """More work waits than is taken. What runs goes on; new runs are taken again once it has gone down."""

    code = "backlog_full"


class Admission:
    def __init__(self, backlog: Callable[[], Awaitable[int]], limit: int) -> None:
        self._backlog = backlog
        self._limit = limit
        self._measured = 0
        self._measured_at = -MEASURED_FOR_S

    async def check(self) -> None:
        """Raises BacklogFull. A backlog that cannot be measured refuses nobody: runs go on without the database."""
        now = time.monotonic()
        if now - self._measured_at >= MEASURED_FOR_S:
            self._measured_at = now
            try:
                self._measured = await self._backlog()
            except Unavailable:
                self._measured = 0
        if self._measured > self._limit:
            raise BacklogFull(f"more than {self._limit} commits wait to be dealt with", RETRY_AFTER_S)
