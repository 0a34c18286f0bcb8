"""The log in memory: what unit tests run on. It forgets everything with the process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import Self

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.codec import Codec, Unreadable, UnreadableCommit
from fairlead.domain.envelope import PARTITIONS, Kind, Recorded, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import StreamMoved
from fairlead.domain.sealing import Marks
from fairlead.domain.subjects import events_of
from fairlead.ports import AnyCommit, AnyRecorded, Batches, Copy, CopyBatches, Delivery, Followed, Shares


class _Stored(Struct, frozen=True):
    sequence: LogSequence
    stream: StreamRef
    partition: int
    commit_id: str
    body: bytes


class _Bell:
    """Wakes everyone who listens whenever there may be something new."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()

    @contextmanager
    def heard(self) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)

    def ring(self) -> None:
        for event in self._listeners:
            event.set()


class _Store:
    """Every commit in order, encoded, so that a codec that loses something shows here too."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.stored: list[_Stored] = []
        self.removed: set[int] = set()  # places that were taken
        self.bell = _Bell()

    def recorded(self, stored: _Stored) -> AnyRecorded:
        return Recorded(stored.sequence, self.codec.decode(stored.stream.kind, stored.body), stored.body)

    def followed(self, stored: _Stored) -> Followed:
        try:
            return self.recorded(stored)
        except UnreadableCommit as reason:
            return Unreadable(stored.sequence, stored.stream, reason)

    def after(
        self,
        after: int,
        kinds: Sequence[Kind],
        limit: int,
        partition: int | None = None,
        tenants: Sequence[TenantId] = (),
    ) -> tuple[list[Followed], bool]:
        """Up to `limit` matching commits past `after`, and whether that was all of them."""
        matching = (
            stored
            for stored in map(self.stored.__getitem__, range(after, len(self.stored)))
            if stored.sequence not in self.removed
            and (not kinds or stored.stream.kind in kinds)
            and (not tenants or stored.stream.tenant_id in tenants)
            and partition in (None, stored.partition)
        )
        batch = [self.followed(stored) for stored in islice(matching, limit)]
        return batch, next(matching, None) is None

    def copy(self, sequence: int) -> Copy:
        stored = self.stored[sequence - 1]
        return Copy(
            sequence=stored.sequence,
            stream=stored.stream,
            message_id=stored.commit_id,
            headers=b"NATS/1.0\r\n\r\n",
            body=stored.body,
            claimed=False,
        )


class MemoryLog:
    def __init__(self, codec: Codec) -> None:
        self._store = _Store(codec)
        self._of_stream: defaultdict[StreamRef, list[_Stored]] = defaultdict(list)
        self._of_commit_id: dict[str, _Stored] = {}
        self._groups: dict[str, list[_Partition]] = {}

    async def append(
        self,
        commit: AnyCommit,
        expected: LogSequence,
        subject: str = "",  # noqa: ARG002  # nothing is stored that outlives the process, so nothing is sealed
        marks: Marks | None = None,  # noqa: ARG002  # see above
    ) -> LogSequence:
        body = self._store.codec.encode(commit)
        stream, head = commit.stream, self._head(commit.stream)
        before = self._of_commit_id.get(commit.commit_id)
        if before is not None:
            assert before.stream == stream, "a command id is used for one stream only"
            if before.body != body:
                raise StreamMoved(f"{commit.commit_id} was decided before, and otherwise")
            return before.sequence
        if head != expected:
            raise StreamMoved(f"{stream.kind} {stream.id} is at {head}, not at {expected}")
        sequence = LogSequence(len(self._store.stored) + 1)
        stored = _Stored(sequence, stream, stream.partition, commit.commit_id, body)
        self._store.stored.append(stored)
        self._of_stream[stream].append(stored)
        self._of_commit_id[commit.commit_id] = stored
        self._store.bell.ring()
        return sequence

    async def read(self, stream: StreamRef, after: LogSequence = LogSequence(0)) -> list[AnyRecorded]:
        events_of(stream)
        return [self._store.recorded(stored) for stored in self._of_stream.get(stream, ()) if stored.sequence > after]

    async def heads(self, streams: Sequence[StreamRef]) -> list[LogSequence]:
        return [self._head(stream) for stream in streams]

    async def last_sequence(self) -> LogSequence:
        return LogSequence(len(self._store.stored))

    @asynccontextmanager
    async def follow(
        self,
        after: LogSequence,
        kinds: Sequence[Kind] = (),
        max_batch: int = 500,
        tenants: Sequence[TenantId] = (),
        in_bursts: bool = False,  # noqa: ARG002  # handing over costs nothing here
    ) -> AsyncIterator[Batches]:
        with self._store.bell.heard() as news:
            yield _Following(self._store, after, kinds, tenants, max_batch, news)

    @asynccontextmanager
    async def copies(self, after: LogSequence, max_batch: int = 500) -> AsyncIterator[CopyBatches]:
        async with self.follow(after, max_batch=max_batch) as batches:
            yield _Copying(batches, self._store)

    async def copy_of(self, sequence: LogSequence) -> Copy | None:
        is_there = 0 < sequence <= len(self._store.stored) and sequence not in self._store.removed
        return self._store.copy(sequence) if is_there else None

    async def remove(self, sequence: LogSequence) -> None:
        stored = self._store.stored[sequence - 1]
        self._store.removed.add(sequence)
        left = [each for each in self._of_stream[stored.stream] if each is not stored]
        self._of_stream[stored.stream] = left

    async def remove_blob(self, tenant_id: TenantId, sha256: str) -> None:
        """Nothing lies beside this log."""

    @asynccontextmanager
    async def share(self, group: str, kinds: Sequence[Kind] = (), max_batch: int = 100) -> AsyncIterator[Shares]:
        partitions = self._groups.setdefault(group, [_Partition(number) for number in range(PARTITIONS)])
        with self._store.bell.heard() as news:
            member = _Member(self._store, partitions, kinds, max_batch, news)
            try:
                yield member
            finally:
                member.leave()

    def _head(self, stream: StreamRef) -> LogSequence:
        events_of(stream)  # refuses what could not be a name on a real engine
        of_stream = self._of_stream.get(stream)
        return of_stream[-1].sequence if of_stream else LogSequence(0)


class _Following:
    def __init__(
        self,
        store: _Store,
        after: LogSequence,
        kinds: Sequence[Kind],
        tenants: Sequence[TenantId],
        max_batch: int,
        news: asyncio.Event,
    ) -> None:
        self._store = store
        self._position: int = after
        self._kinds = kinds
        self._tenants = tenants
        self._max_batch = max_batch
        self._news = news
        self._is_told = False  # that it has caught up

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Followed]:
        while True:
            self._news.clear()
            batch, was_all = self._store.after(self._position, self._kinds, self._max_batch, tenants=self._tenants)
            self._position = len(self._store.stored) if was_all else batch[-1].sequence  # none is looked at twice
            if batch:
                self._is_told = False
                return batch
            if not self._is_told:
                self._is_told = True
                return []
            await self._news.wait()


class _Copying:
    def __init__(self, batches: Batches, store: _Store) -> None:
        self._batches = aiter(batches)
        self._store = store

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Copy]:
        return [self._store.copy(each.sequence) for each in await anext(self._batches)]


class _Partition:
    """Where a group stands in one partition."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dealt_with = 0
        self.holder: _Member | None = None
        self.busy = False  # a delivery is out, or its return is being waited for


class _Member:
    def __init__(
        self, store: _Store, group: list[_Partition], kinds: Sequence[Kind], max_batch: int, news: asyncio.Event
    ) -> None:
        self._store = store
        self._group = group
        self._kinds = kinds
        self._max_batch = max_batch
        self._news = news

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            self._news.clear()
            for partition in self._group:
                if (delivery := self._take(partition)) is not None:
                    return delivery
            await self._news.wait()

    def _take(self, partition: _Partition) -> Delivery | None:
        if partition.busy or partition.holder not in (None, self):
            return None
        batch, _ = self._store.after(partition.dealt_with, self._kinds, self._max_batch, partition.number)
        if not batch:
            partition.dealt_with = len(self._store.stored)
            return None
        partition.holder, partition.busy = self, True
        return _MemoryDelivery(partition, batch, self, self._store.bell)

    def leave(self) -> None:
        for partition in self._group:
            if partition.holder is self:
                partition.holder, partition.busy = None, False
        self._store.bell.ring()


class _MemoryDelivery:
    def __init__(self, partition: _Partition, batch: list[Followed], holder: _Member, bell: _Bell) -> None:
        self.partition = partition.number
        self.recorded: Sequence[Followed] = batch
        self._of = partition
        self._holder = holder
        self._bell = bell

    async def ack(self) -> None:
        self._of.dealt_with = max(self._of.dealt_with, self.recorded[-1].sequence)
        self._release()

    async def nack(self, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._release)

    def _release(self) -> None:
        if self._of.holder is self._holder:
            self._of.busy = False
            self._bell.ring()
