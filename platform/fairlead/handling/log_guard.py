"""Nothing is written to a log that was taken back: new commits would get the numbers of others, and hide the loss.

What was kept of the log is asked from the ledger: at the first write, at the first one after each break of the
connection, for only a server that was stopped can come back with an older store, and every few seconds besides, for
the process that keeps the ledger looks closer and shares what it finds.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from fairlead.domain.errors import FairleadError, Unavailable

LOOK_EVERY_S = 2.0

_log = structlog.get_logger()


class LogTakenBack(Unavailable):
    """The log was taken back, cut off or replaced. Nothing is written until an operator has restored it, by the runbook
    `ledger-mismatch`. What is there can be read."""

    code = "log_taken_back"

    def __init__(self) -> None:
        super().__init__("the log was taken back, so writing", retry_after_s=30)
        self.args = ("the log was taken back: nothing is written until it is restored (runbook ledger-mismatch)",)


class KeptUpTo(Struct, frozen=True, kw_only=True):
    """How far the ledger goes; `halted` is why it is not kept any further."""

    sequence: int
    halted: str | None


class LogGuard:
    """`kept` is None where nothing was kept yet. `epoch` changes with each break of the connection to the log."""

    def __init__(
        self,
        kept: Callable[[], Awaitable[KeptUpTo | None]],
        ends_at: Callable[[], Awaitable[int]],
        epoch: Callable[[], int],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._kept = kept
        self._ends_at = ends_at
        self._epoch = epoch
        self._look_every_s = look_every_s
        self._sound_in: int | None = None
        self._is_taken_back = False
        self._known: KeptUpTo | None = None
        self._looking = asyncio.Lock()

    async def check(self) -> None:
        """Directly before a write. Costs nothing while the connection holds.

        Raises LogTakenBack, and Unavailable when it cannot be told.
        """
        if self._sound_in != self._epoch() and not self._is_taken_back:
            async with self._looking:
                if self._sound_in != self._epoch() and not self._is_taken_back:
                    await self.look()
        if self._is_taken_back:
            raise LogTakenBack

    async def run(self) -> None:
        """Until cancelled. A log that was restored is written to again."""
        while True:
            try:
                await self.look()
            except FairleadError as waiting:
                _log.debug("log_guard_waits", reason=str(waiting))
            await asyncio.sleep(self._look_every_s)

    async def look(self) -> None:
        """Raises Unavailable."""
        epoch, kept = self._epoch(), await self._kept_up_to()
        ends_at = await self._ends_at()  # after it was asked what is kept, which is never ahead
        if kept is None or (kept.halted is None and ends_at >= kept.sequence):
            if self._is_taken_back:
                _log.info("log_restored", ends_at=ends_at)
            self._is_taken_back, self._sound_in = False, epoch
            return
        if not self._is_taken_back:
            _log.error("log_taken_back", ends_at=ends_at, kept=kept.sequence, halted=kept.halted)
        self._is_taken_back, self._sound_in = True, None

    async def _kept_up_to(self) -> KeptUpTo | None:
        """While the database is away, what was known of it last: runs go on from the log. At first it must be asked."""
        try:
            self._known = await self._kept()
        except Unavailable:
            if self._known is None:
                raise
        return self._known
