"""The log on JetStream: a commit is a message, a stream of ours is a subject of theirs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.adapters.nats_bodies import CommitBodies, Found
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_follow import Following
from fairlead.adapters.nats_heads import Heads
from fairlead.adapters.nats_messages import (
    NOT_FOUND,
    WRONG_LAST_IN_FLIGHT,
    WRONG_LAST_SEQUENCE,
    ApiRefused,
    NoAnswer,
    Reply,
    last_sequence_in,
)
from fairlead.adapters.nats_share import Group, Sharing
from fairlead.adapters.nats_streams import events_stream
from fairlead.domain.codec import SCHEMA_VERSION, Codec
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import StreamMoved
from fairlead.domain.sealing import Marks
from fairlead.domain.subjects import events_of, events_of_kinds, header_value
from fairlead.handling.contents import UNSEEN, Contents
from fairlead.handling.log_guard import LogGuard
from fairlead.ports import AnyCommit, AnyRecorded, Batches, Copy, CopyBatches, Shares

FAILOVER_S = 3.0
READ_PAGE = 500  # commits in one answer
HEADS_PAGE = 500  # streams asked for at once; each is answered with its last commit


class NatsLog:
    """`failover_s` is how long a silent process keeps what it shares before another takes over. Before each append
    `guard` is asked whether the log is still the one that was kept. Without `contents` it is for those who neither
    write content nor see any."""

    def __init__(
        self,
        connection: NatsConnection,
        codec: Codec,
        shard: int = 0,
        failover_s: float = FAILOVER_S,
        guard: LogGuard | None = None,
        contents: Contents = UNSEEN,
    ) -> None:
        self._connection = connection
        self._shard = shard
        self._stream = events_stream(shard)
        self._heads = Heads(connection, self._stream)
        self._bodies = CommitBodies(codec, NatsBlobs(connection), contents)
        self._failover_s = failover_s
        self._guard = guard

    async def append(
        self, commit: AnyCommit, expected: LogSequence, subject: str = "", marks: Marks | None = None
    ) -> LogSequence:
        body = await self._bodies.pack(commit, subject, marks)
        return await self._connection.patiently(lambda: self._append_once(commit, body, expected))

    async def _append_once(self, commit: AnyCommit, body: bytes, expected: LogSequence) -> LogSequence:
        """Raises NoAnswer also when it cannot be told yet what became of the commit."""
        subject = events_of(commit.stream, self._shard)
        if self._guard is not None:
            await self._guard.check()
        try:
            stored = await self._connection.publish(subject, body, _headers(commit, expected))
        except ApiRefused as refusal:
            if refusal.number not in WRONG_LAST_SEQUENCE:
                raise
            must_be_there = refusal.number == WRONG_LAST_IN_FLIGHT or last_sequence_in(refusal) > expected
        else:
            if stored.duplicate:
                earlier = await self._one({"seq": stored.seq}, must_be_there=True)
                assert _is(earlier, commit, subject), "a command id is used for one stream only"
                if earlier.data != body:
                    raise StreamMoved(f"{commit.commit_id} was decided before, and otherwise")
            return LogSequence(stored.seq)
        # Somebody was first. When that was this very commit, sent again because its answer was lost, it directly
        # follows `expected`, for it was stored on that condition.
        first = await self._one({"seq": expected + 1, "next_by_subj": subject}, must_be_there=must_be_there)
        if _is(first, commit, subject) and first.data == body:
            return _sequence(first)
        raise StreamMoved(f"{commit.kind} {commit.stream_id} is not at {expected} any more")

    async def read(self, stream: StreamRef, after: LogSequence = LogSequence(0)) -> list[AnyRecorded]:
        subject, found, more = events_of(stream, self._shard), list[Found](), True
        while more:
            start = (found[-1].sequence if found else after) + 1
            replies, end = await self._many({"seq": start, "next_by_subj": subject, "batch": READ_PAGE})
            found += [Found(_sequence(reply), subject, reply.data) for reply in replies]
            more = end.header("Nats-Num-Pending") not in (None, "0")
        return await self._bodies.history(found)

    async def heads(self, streams: Sequence[StreamRef]) -> list[LogSequence]:
        subjects = [events_of(stream, self._shard) for stream in streams]
        heads: list[LogSequence] = []
        for start in range(0, len(subjects), HEADS_PAGE):
            page = subjects[start : start + HEADS_PAGE]
            heads += map(LogSequence, await self._connection.patiently(partial(self._heads.of, page)))
        return heads

    async def last_sequence(self) -> LogSequence:
        info = await self._connection.patiently(lambda: self._connection.api(f"STREAM.INFO.{self._stream}"))
        return LogSequence(info["state"]["last_seq"])

    @asynccontextmanager
    async def follow(
        self,
        after: LogSequence,
        kinds: Sequence[Kind] = (),
        max_batch: int = 500,
        tenants: Sequence[TenantId] = (),
        in_bursts: bool = False,
    ) -> AsyncIterator[Batches]:
        filters = events_of_kinds(kinds, shard=self._shard, tenants=tenants)
        following = Following(
            self._connection, self._bodies.each, self._stream, filters, after, max_batch, in_bursts=in_bursts
        )
        try:
            yield following
        finally:
            await following.close()

    @asynccontextmanager
    async def copies(self, after: LogSequence, max_batch: int = 500) -> AsyncIterator[CopyBatches]:
        filters = events_of_kinds((), shard=self._shard)
        following = Following(
            self._connection, self._bodies.copies, self._stream, filters, after, max_batch, in_bursts=True
        )
        try:
            yield following
        finally:
            await following.close()

    async def copy_of(self, sequence: LogSequence) -> Copy | None:
        reply = await self._connection.patiently(lambda: self._one({"seq": sequence}, must_be_there=False))
        if reply.status == NOT_FOUND:
            if not await self._is_stored(sequence):
                return None
            reply = await self._connection.patiently(lambda: self._one({"seq": sequence}, must_be_there=True))
        subject = reply.header("Nats-Subject") or ""
        return await self._bodies.copy(Found(_sequence(reply), subject, reply.data, reply.headers))

    @asynccontextmanager
    async def share(self, group: str, kinds: Sequence[Kind] = (), max_batch: int = 100) -> AsyncIterator[Shares]:
        sharing = Sharing(
            Group(
                connection=self._connection,
                bodies=self._bodies,
                stream=self._stream,
                shard=self._shard,
                name=group,
                kinds=tuple(kinds),
                max_batch=max_batch,
                failover_s=self._failover_s,
            )
        )
        try:
            yield sharing
        finally:
            await sharing.close()

    async def _one(self, question: dict[str, Any], *, must_be_there: bool) -> Reply:
        """A message, or a reply with a status when there is none. In a cluster any replica may answer: raises NoAnswer
        when it has not got yet what must be there."""
        body = msgspec.json.encode(question)
        reply = await self._connection.request(f"$JS.API.DIRECT.GET.{self._stream}", body)
        if must_be_there and reply.status == NOT_FOUND:
            raise NoAnswer
        return reply

    async def _is_stored(self, sequence: LogSequence) -> bool:
        """As the leader knows; a replica that has not got it yet says no to everything."""
        try:
            await self._connection.patiently(
                lambda: self._connection.api(f"STREAM.MSG.GET.{self._stream}", {"seq": sequence})
            )
        except ApiRefused:  # not there, or not readable any more
            return False
        return True

    async def _many(self, question: dict[str, Any]) -> tuple[list[Reply], Reply]:
        body = msgspec.json.encode(question)
        return await self._connection.patiently(
            lambda: self._connection.request_many(f"$JS.API.DIRECT.GET.{self._stream}", body)
        )


def _headers(commit: AnyCommit, expected: int) -> bytes:
    trace = f"traceparent: {header_value(commit.trace_parent)}\r\n" if commit.trace_parent else ""
    return (
        f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {expected}\r\n"
        f"Nats-Msg-Id: {header_value(commit.commit_id)}\r\nFairlead-Schema: {SCHEMA_VERSION}\r\n{trace}\r\n"
    ).encode()


def _is(reply: Reply, commit: AnyCommit, subject: str) -> bool:
    return reply.header("Nats-Subject") == subject and reply.header("Nats-Msg-Id") == commit.commit_id


def _sequence(reply: Reply) -> LogSequence:
    return LogSequence(int(reply.header("Nats-Sequence") or 0))
