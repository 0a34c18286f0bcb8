"""Switches in a bucket on nats-server: a board is the last value of its holder's key, and every process watches all.

The engine says several times a second that it has sent all there is. When it has not said so for a while, or has lost
the bucket, nothing is known. An empty bucket says nothing either: only one that was filled from the log is marked so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog
from fairlead_tenants.ids import TenantId

from fairlead.adapters.nats_connection import WRONG_LAST_SEQUENCE, ApiRefused, Inbox, NatsConnection
from fairlead.adapters.nats_messages import NoAnswer, Reply
from fairlead.adapters.nats_pull import Pulled
from fairlead.adapters.nats_streams import SWITCHES, ensure_switches
from fairlead.domain.errors import FairleadError
from fairlead.domain.subjects import switches_of
from fairlead.domain.switches.board import Board
from fairlead.domain.switches.verdict import Boards

FRESH_S = 2.0  # what was heard longer ago is not known any more
HEARTBEAT_S = 0.5
RETRY_S = 0.2
COMPLETE = "complete"  # the key that says so; no holder has such a name
_MANY = 2**62

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Board).decode


class NatsSwitches:
    """One for each process, which must `run` it."""

    def __init__(
        self,
        connection: NatsConnection,
        replicas: int = 1,
        bucket: str = SWITCHES,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._replicas = replicas
        self._bucket = bucket
        self._steady = steady
        self._boards: dict[TenantId, Board] = {}
        self._is_complete = False
        self._heard_s = float("-inf")
        self._sequence = 0  # of the watch: one that is left out means that something was missed
        self._expected = _MANY  # values that the watch begins with
        self._unreadable: set[str] = set()
        self._broken = asyncio.Event()
        self._news = asyncio.Event()

    def known(self) -> Boards | None:
        return self._boards if self._is_whole() and self.age_s() <= FRESH_S else None

    def age_s(self) -> float:
        """How long ago the engine last said that this is all."""
        return self._steady() - self._heard_s

    async def changed(self, timeout_s: float) -> bool:
        news = self._news
        try:
            async with asyncio.timeout(timeout_s):
                await news.wait()
        except TimeoutError:
            return False
        return True

    async def keep(self, holder: TenantId, board: Board) -> None:
        subject, body = switches_of(self._bucket, holder), _encode(board)
        while True:
            found = await self._connection.request(f"$JS.API.DIRECT.GET.KV_{self._bucket}.{subject}", b"")
            shown = _board(found.data) if not found.status else None
            if shown is not None and shown.version >= board.version:
                return
            if await self._put(subject, body, int(found.header("Nats-Sequence") or 0)):
                return

    async def complete(self) -> None:
        await self._connection.publish(switches_of(self._bucket, COMPLETE), b"true", b"")

    async def run(self, fill: Callable[[], Awaitable[None]]) -> None:
        while True:
            inbox: Inbox | None = None
            try:
                self._broken.clear()
                inbox = await self._connection.inbox(self._take)
                await self._watch(inbox)
                if not self._is_whole():
                    await fill()
                await self._until_broken()
            except FairleadError as fault:  # the engine is away, the bucket is gone, or a board cannot be read
                _log.warning("switches_not_watched", reason=str(fault))
                await asyncio.sleep(RETRY_S)
                await self._connection.connected(FRESH_S)
            finally:
                if inbox is not None:
                    await inbox.close()

    async def _watch(self, inbox: Inbox) -> None:
        """Returns when all values that there were are here. Raises ApiRefused, NoAnswer."""
        await ensure_switches(self._connection, self._bucket, self._replicas)
        self._boards, self._is_complete, self._sequence, self._expected = {}, False, 0, _MANY
        self._unreadable.clear()
        stream = f"KV_{self._bucket}"
        configuration = {
            "deliver_subject": inbox.subject.decode(),
            "deliver_policy": "last_per_subject",
            "filter_subject": f"$KV.{self._bucket}.>",
            "ack_policy": "none",
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
        }
        asked_s = self._steady()
        made = await self._connection.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": configuration})
        self._heard_s = max(self._heard_s, asked_s)
        self._expected = made["num_pending"] + made["delivered"]["consumer_seq"]
        while self._sequence < self._expected:
            if self._broken.is_set() or not await self.changed(FRESH_S):
                raise NoAnswer

    def _is_whole(self) -> bool:
        return self._is_complete and self._sequence >= self._expected and not self._unreadable

    async def _until_broken(self) -> None:
        while not self._broken.is_set() and self.age_s() <= FRESH_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(FRESH_S - self.age_s() + 0.01):
                    await self._broken.wait()

    def _take(self, reply: Reply | None) -> None:
        if reply is None:
            self._broken.set()
        elif reply.status:
            self._heartbeat(reply)
        else:
            self._value(Pulled.of(reply))

    def _heartbeat(self, reply: Reply) -> None:
        if reply.header("Nats-Last-Consumer") == str(self._sequence):
            self._heard_s = self._steady()
        else:
            self._broken.set()

    def _value(self, pulled: Pulled) -> None:
        if pulled.consumer_sequence != self._sequence + 1:
            self._broken.set()
            return
        self._sequence = pulled.consumer_sequence
        self._heard_s = self._steady()
        key = pulled.subject.rpartition(".")[2]
        if key == COMPLETE:
            self._is_complete = bool(pulled.body)
        else:
            self._hear(TenantId(key), pulled.body)
        self._news.set()
        self._news = asyncio.Event()

    def _hear(self, holder: TenantId, body: bytes) -> None:
        """What cannot be read, or is gone, means that nothing is known."""
        board = _board(body)
        if board is None:
            _log.error("switches_unreadable", holder=holder)
            self._unreadable.add(holder)
            if self._sequence > self._expected:
                self._broken.set()  # begin anew, and fill what is amiss
            return
        self._unreadable.discard(holder)
        known = self._boards.get(holder)
        if known is None or known.version < board.version:
            self._boards = {**self._boards, holder: board}

    async def _put(self, subject: str, body: bytes, revision: int) -> bool:
        headers = f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {revision}\r\n\r\n".encode()
        try:
            await self._connection.publish(subject, body, headers)
        except ApiRefused as refusal:
            if refusal.number not in WRONG_LAST_SEQUENCE:
                raise
            return False
        return True


def _board(body: bytes) -> Board | None:
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return None
