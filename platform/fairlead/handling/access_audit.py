"""Puts on the log who looks at what, before they see it.

Who reads waits for the record, which costs them one commit shared with all who read at that moment. While the log does
not answer, ordinary reads go on unrecorded for BOUND_S at most, and what they read is recorded as soon as it answers
again; then nothing more is shown. Exports and approvals are shown only once it is recorded.
"""

import asyncio

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.accesses import Access, Accessed
from fairlead.domain.errors import Unavailable
from fairlead.handling.side_streams import SideStreams
from fairlead.ports import Clock, Ids, Log

PATIENCE_S = 0.25  # an ordinary read waits no longer for its record
STRICT_S = 2.0
BOUND_S = 30.0
MAX_WAITING = 10_000
LAST_S = 5.0  # that the end of a process waits for what is not recorded yet

STRICT = frozenset({Access.EXPORT, Access.APPROVAL, Access.UNMASKED})

_log = structlog.get_logger()


class AccessNotRecorded(Unavailable):
    """Nothing is shown whose reading cannot be recorded. The same request may be sent again."""

    code = "access_not_recorded"

    def __init__(self) -> None:
        super().__init__("the record of accesses", retry_after_s=5)


class AccessAudit:
    """One for each process."""

    def __init__(self, log: Log, clock: Clock, ids: Ids) -> None:
        self._streams = SideStreams(log, clock, ids, "access")
        self._waiting: dict[asyncio.Future[None], float] = {}  # oldest first

    @property
    def waiting(self) -> int:
        """Accesses that happened and are not recorded yet."""
        return len(self._waiting)

    async def record(self, tenant_id: TenantId, accessed: Accessed) -> None:
        """Returns when it may be shown. Raises AccessNotRecorded."""
        now_s = asyncio.get_running_loop().time()
        oldest_s = next(iter(self._waiting.values()), now_s)
        if now_s - oldest_s > BOUND_S or len(self._waiting) >= MAX_WAITING:
            raise AccessNotRecorded
        done = self._streams.write(tenant_id, f"{accessed.at:%Y%m%d}", accessed)
        self._waiting[done] = now_s
        done.add_done_callback(lambda _: self._waiting.pop(done))
        is_strict = accessed.access in STRICT
        await asyncio.wait({done}, timeout=STRICT_S if is_strict else PATIENCE_S)
        if is_strict and not done.done():
            raise AccessNotRecorded

    async def close(self) -> None:
        """What cannot be recorded in the end is at least counted where operators look."""
        if self._waiting:
            await asyncio.wait(set(self._waiting), timeout=LAST_S)
        if self._waiting:
            _log.error("accesses_not_recorded", count=len(self._waiting))
