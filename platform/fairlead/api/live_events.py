"""Follows the log once in this process, while somebody listens, and hands each commit to the streams it concerns.

What waits for a slow listener is bounded: past the bound it is cut off, and may go on after the last event it got.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

import msgspec
import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.api.timeline_events import START, CommitRow, Place, TimelineEvent, events_of, is_last
from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Kind
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.ids import parent_id
from fairlead.ports import AnyRecorded, Log

KINDS: tuple[Kind, ...] = ("run", "approval")
MAX_STREAMS_PER_TENANT = 100
MAX_WATCHES_PER_TENANT = 1_000
LINGER_S = 5.0  # the log is followed on for so long after the last who wanted to know of it
MAX_WAITING_BYTES = 1024 * 1024  # per listener; a commit that is larger may wait alone
MAX_WAITING = 2_000
READY_WITHIN_S = 5.0
PAUSE_S = 1.0

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class TooManyStreams(FairleadError):
    """The tenant has as many live streams open at this process as it may."""

    code = "too_many_streams"

    def __init__(self, retry_after_s: int = 5) -> None:
        super().__init__(f"{MAX_STREAMS_PER_TENANT} live streams are open already; close one")
        self.retry_after_s = retry_after_s


class Frame(Struct, frozen=True):
    """A commit as it is sent: one record an event, made once for all listeners. `ends_run`: nothing more is to come."""

    run_id: str
    sequence: int
    records: tuple[bytes, ...]
    ends_run: bool

    def after(self, place: Place) -> bytes:
        """What comes past `place`."""
        if self.sequence > place.sequence:
            return b"".join(self.records)
        return b"".join(self.records[place.index + 1 :]) if self.sequence == place.sequence else b""

    @property
    def last(self) -> Place:
        return Place(self.sequence, len(self.records) - 1)


def frame_of(row: CommitRow) -> Frame:
    events = list(events_of(row, START))
    ends_run = is_last([event.type for event in events])
    return Frame(row.run_id, row.sequence, tuple(map(record_of, events)), ends_run)


def record_of(event: TimelineEvent) -> bytes:
    """A server-sent event. JSON has no line breaks of its own, so it is one line of data."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.position.encode(), event.type.encode(), _encode(event))


class Listener:
    """What one stream is still to send. `since`: everything up to there is to be read elsewhere."""

    def __init__(self, run_id: str | None) -> None:
        self.run_id = run_id
        self.since = LogSequence(0)
        self.cut_off = False
        self._waiting: deque[Frame] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        size = sum(map(len, frame.records))
        full = len(self._waiting) >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES
        if self.cut_off or (full and self._waiting):
            self.cut_off = True
        else:
            self._waiting.append(frame)
            self._waiting_bytes += size
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def take(self, timeout_s: float) -> Frame | None:
        """None when there was none within the time, or when somebody woke the listener."""
        if not self._waiting and not self.cut_off:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
        self._news.clear()
        if not self._waiting:
            return None
        frame = self._waiting.popleft()
        self._waiting_bytes -= sum(map(len, frame.records))
        return frame


class LiveEvents:
    """Listeners are held weakly: one that its stream has let go of is gone."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._listeners: defaultdict[TenantId, WeakSet[Listener]] = defaultdict(WeakSet)
        self._watches: defaultdict[TenantId, dict[asyncio.Event, str]] = defaultdict(dict)
        self._heeded_at = 0.0
        self._position: LogSequence | None = None
        self._wanted = asyncio.Event()
        self._standing = asyncio.Event()
        self.closing = False

    async def run(self) -> None:
        """Until cancelled. What cannot be read is waited for; listeners hear nothing meanwhile and miss nothing."""
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except FairleadError as waiting:
                _log.warning("live_events_wait", code=waiting.code, reason=str(waiting))
                await asyncio.sleep(PAUSE_S)
            except Exception as error:  # noqa: BLE001  # a commit that cannot be shown must not end all streams to come
                _log.error("live_events_failed", error=type(error).__name__)
                self._cut_off_all()
                await asyncio.sleep(PAUSE_S)

    async def open(self, tenant_id: TenantId, run_id: str | None = None) -> Listener:
        """Hears of one run, or of all of a tenant. Raises TooManyStreams, Unavailable."""
        listener = Listener(run_id)
        if len(self._listeners[tenant_id]) >= MAX_STREAMS_PER_TENANT:
            raise TooManyStreams
        self._listeners[tenant_id].add(listener)
        await self._stand()
        assert self._position is not None, "it stands somewhere"
        listener.since = self._position
        return listener

    @asynccontextmanager
    async def watching(self, tenant_id: TenantId, run_id: str) -> AsyncIterator[asyncio.Event]:
        """Set whenever the run has moved, from when the context is entered. Raises Unavailable, also for too many."""
        if len(self._watches[tenant_id]) >= MAX_WATCHES_PER_TENANT:
            raise Unavailable("waiting for runs")
        moved = asyncio.Event()
        self._watches[tenant_id][moved] = run_id
        try:
            await self._stand()
            yield moved
        finally:
            del self._watches[tenant_id][moved]
            if not self._watches[tenant_id]:
                del self._watches[tenant_id]

    async def _stand(self) -> None:
        """The log is followed from here on. Raises Unavailable."""
        self._wanted.set()
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._standing.wait()
        except TimeoutError:
            raise Unavailable("the log") from None

    def close(self, tenant_id: TenantId, listener: Listener) -> None:
        self._listeners[tenant_id].discard(listener)

    def end_all(self) -> None:
        """The program is about to stop: every stream ends after what it has in hand."""
        self.closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake()
        self._wake_watches()

    def _wake_watches(self) -> None:
        for watches in self._watches.values():
            for moved in watches:
                moved.set()

    async def _follow(self) -> None:
        if self._position is None:
            self._position = await self._log.last_sequence()
        self._standing.set()
        async with self._log.follow(self._position, KINDS) as batches:
            async for batch in batches:
                self._listeners = self._still_listening()
                if not self._is_heeded():
                    self._rest()
                    return
                for each in batch:
                    self._position = each.sequence
                    if isinstance(each, Unreadable):
                        _log.error("commit_not_shown", sequence=each.sequence, reason=str(each.reason))
                    else:
                        self._hand_out(each)

    def _cut_off_all(self) -> None:
        """Something was not handed out: each goes on where it was, from the read model."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.cut_off = True
                listener.wake()
        self._wake_watches()
        self._rest()

    def _is_heeded(self) -> bool:
        now = time.monotonic()
        if self._listeners or self._watches:
            self._heeded_at = now
        return now - self._heeded_at < LINGER_S

    def _still_listening(self) -> defaultdict[TenantId, WeakSet[Listener]]:
        return defaultdict(WeakSet, {tenant: heard for tenant, heard in self._listeners.items() if heard})

    def _rest(self) -> None:
        """Nobody listens: whoever comes next begins at the end of the log as it is then."""
        self._position = None
        self._standing.clear()
        self._wanted.clear()

    def _hand_out(self, recorded: AnyRecorded) -> None:
        commit = recorded.commit
        run_id = commit.stream_id if commit.kind == "run" else parent_id("run", commit.stream_id)
        for moved, watched in self._watches.get(commit.tenant_id, {}).items():
            if watched == run_id:
                moved.set()
        listeners = self._listeners.get(commit.tenant_id)
        if not listeners:
            return
        concerned = [listener for listener in listeners if listener.run_id in (None, run_id)]
        if concerned:
            frame = frame_of(CommitRow(run_id, recorded.sequence, commit.at, recorded.plain.decode()))
            for listener in concerned:
                listener.offer(frame)
