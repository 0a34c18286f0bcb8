"""Sends the trace of each run that has ended, where it is kept. Nothing is stored for it: a trace follows from the log,
so processes share the work, and what was sent twice is the same trace.

Nobody waits for it: when the receiver is away, what has ended waits on the log; what nobody will take is let go.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, get_args

import structlog
from msgspec import Struct

from fairlead.domain.codec import Unreadable, UnreadableCommit
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e
from fairlead.domain.tracing import Sampling, Span, is_kept, trace_of
from fairlead.ports import AnyRecorded, Clock, Delivery, Log, SpanSink, SpansRefused

NAME = "run_traces"
KINDS: tuple[Kind, ...] = ("run",)
MAX_BATCH = 20
OLDEST = timedelta(hours=24)  # also what is sent of the past when somebody first names a receiver
REDELIVER_AFTER_S = 5.0
_ENDINGS = frozenset(get_args(e.RunEnding))

_log = structlog.get_logger()


class _Over(Struct, frozen=True):
    """A run whose end, or whose undoing's end, is at this place."""

    stream: StreamRef
    sequence: LogSequence
    at: Instant
    ended: bool
    undone: bool


class RunTraces:
    """`log` need not open content: none of it is looked at."""

    def __init__(self, log: Log, sink: SpanSink, sampling: Sampling, clock: Clock) -> None:
        self._log = log
        self._sink = sink
        self._sampling = sampling
        self._clock = clock
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._log.share(NAME, KINDS, MAX_BATCH) as shares, asyncio.TaskGroup() as group:
                    async for delivery in shares:
                        group.create_task(self._deal_with(delivery))
            except* Unavailable as unavailable:
                _log.warning("traces_wait", reason=str(unavailable.exceptions[0]))
            await asyncio.sleep(REDELIVER_AFTER_S)

    async def _deal_with(self, delivery: Delivery) -> None:
        async with self._turns[delivery.partition]:
            try:
                for over in _over_in(delivery.recorded):
                    await self._send_or_let_go(over)
            except Unavailable as unavailable:
                _log.warning("traces_wait", reason=str(unavailable))
                await delivery.nack(REDELIVER_AFTER_S)
            else:
                await delivery.ack()

    async def _send_or_let_go(self, over: _Over) -> None:
        try:
            await self._send(over)
        except Unavailable:
            raise
        except (SpansRefused, UnreadableCommit) as refused:
            _log.warning("trace_let_go", run_id=over.stream.id, code=refused.code)
        except Exception as error:  # noqa: BLE001  # a trace that cannot be drawn must not hold up all the others
            _log.error("trace_let_go", run_id=over.stream.id, error=type(error).__name__)

    async def _send(self, over: _Over) -> None:
        if over.at < self._clock.now() - OLDEST:
            return
        commits = [found.commit for found in await self._log.read(over.stream) if found.sequence <= over.sequence]
        trace = trace_of(commits)
        if trace is None or not is_kept(trace, self._sampling):
            return
        spans: tuple[Span, ...] = (*(trace.spans if over.ended else ()), *(trace.undoing if over.undone else ()))
        await self._sink.send(trace.trace_id, spans)


def _over_in(batch: Iterable[AnyRecorded | Unreadable]) -> Iterable[_Over]:
    for recorded in batch:
        if isinstance(recorded, Unreadable):
            continue
        kinds: set[type[Any]] = {type(event) for event in recorded.commit.events}
        ended, undone = bool(kinds & _ENDINGS), e.CompensationEnded in kinds
        if ended or undone:
            yield _Over(recorded.stream, recorded.sequence, recorded.commit.at, ended, undone)
