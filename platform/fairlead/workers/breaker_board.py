"""Where every breaker stands that this process has asked for, as the log has it: no question while nothing changes.

A breaker is read the first time somebody asks for it, and followed from then on. How long it has stood so is counted on
a steady clock of our own, from when we heard of it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from msgspec import Struct

from fairlead.domain import breakers as b
from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.handling.handler import Handled, Handler
from fairlead.ports import AnyRecorded, Clock, Log

KEPT = 20_000
RETRY_S = 0.5

_log = structlog.get_logger()


class Standing(Struct, frozen=True):
    """`since_s` by our steady clock; never earlier than it was."""

    state: b.BreakerState
    sequence: int
    since_s: float


class BreakerBoard:
    """One for each process, which must `run` it."""

    def __init__(self, log: Log, handler: Handler, clock: Clock, steady: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._handler = handler
        self._clock = clock
        self._steady = steady
        self._standing: OrderedDict[StreamRef, Standing] = OrderedDict()  # the one used longest ago is first
        self._meanwhile: dict[StreamRef, list[AnyRecorded]] = {}  # what is heard of one while it is read
        self._is_following = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow(await self._log.last_sequence())
            except Unavailable as unavailable:
                _log.warning("breakers_not_followed", reason=str(unavailable))
                await asyncio.sleep(RETRY_S)

    def at_hand(self, breaker: StreamRef) -> Standing | None:
        """Without a question; None when nobody has asked for it yet."""
        return self._standing.get(breaker)

    async def look(self, breaker: StreamRef) -> Standing:
        """Raises Unavailable."""
        await self._is_following.wait()
        heard = self._meanwhile.setdefault(breaker, [])
        try:
            loaded = await self._handler.load(breaker)
        finally:
            self._meanwhile.pop(breaker, None)
        standing = Standing(loaded.state, loaded.sequence, self._steady() - self._age_s(loaded.state))
        known = self._standing.get(breaker)
        if known is None or known.sequence < standing.sequence:
            self._keep(breaker, standing)
        for recorded in heard:
            self._hear(recorded)
        return self._standing[breaker]

    def decided(self, breaker: StreamRef, handled: Handled) -> None:
        """What we have just appended, or found when we were too late."""
        known = self._standing.get(breaker)
        if known is None or known.sequence < handled.sequence:
            self._keep(breaker, Standing(handled.state, handled.sequence, self._steady()))

    async def _follow(self, after: LogSequence) -> None:
        async with self._log.follow(after, ("breaker",)) as batches:
            self._is_following.set()
            async for batch in batches:
                for recorded in batch:
                    if isinstance(recorded, Unreadable):
                        self._standing.clear()  # written by a newer program: whoever needs one reads it anew
                    else:
                        self._hear(recorded)

    def _hear(self, recorded: AnyRecorded) -> None:
        breaker = recorded.commit.stream
        if (heard := self._meanwhile.get(breaker)) is not None:
            heard.append(recorded)
        known = self._standing.get(breaker)
        if known is None or known.sequence >= recorded.sequence:
            return
        state = known.state
        for event in recorded.commit.events:
            state = b.evolve(state, event)
        self._keep(breaker, Standing(state, recorded.sequence, self._steady()))
        _log.info("breaker_moved", breaker=breaker.id, tenant_id=breaker.tenant_id, state=type(state).__name__)

    def _keep(self, breaker: StreamRef, standing: Standing) -> None:
        self._standing[breaker] = standing
        self._standing.move_to_end(breaker)
        while len(self._standing) > KEPT:
            self._standing.popitem(last=False)

    def _age_s(self, state: b.BreakerState) -> float:
        """How long ago it opened, as far as a clock on the wall can tell, and no longer than it has to cool."""
        if not isinstance(state, b.Open):
            return 0.0
        cooling_s = state.opened.cooling_s
        left_s = (state.opened.probe_at - self._clock.now()).total_seconds()
        return min(cooling_s, max(0.0, cooling_s - left_s))
