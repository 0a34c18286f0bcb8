"""Work handed out one message at a time under a lease: what jobs and timers that are due have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Protocol, Self

import msgspec
import structlog
from msgspec import Struct

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import ApiRefused, NoAnswer
from fairlead.adapters.nats_pull import Pulled, Puller
from fairlead.ports import Order, Unfinished

EXPIRES_S = 10.0
RETRY_S = 0.5
UNPREPARED = -3  # trouble of a puller: nobody has made its consumer yet
MOST_HANDED_OUT = 20_000  # over all processes; the engine hands out no more until some are settled

_log = structlog.get_logger(__name__)


class Lane(Struct, frozen=True):
    """A durable consumer with explicit acknowledgement. `prepare` makes its stream, should that be gone."""

    stream: str
    consumer: str
    subjects: str
    lease_s: float
    prepare: Callable[[], Awaitable[None]]


class _Floor(Struct):
    stream_seq: int


class _Consumer(Struct):
    ts: datetime  # by the server's clock, like the time of a message
    num_pending: int
    num_ack_pending: int
    ack_floor: _Floor


class _Stored(Struct):
    time: datetime


class _Found(Struct):
    message: _Stored


async def unfinished(connection: NatsConnection, stream: str, consumer: str, subjects: str) -> Unfinished:
    """Nothing where nobody has taken from it yet: the consumer is made by the first who does."""
    try:
        info = msgspec.convert(await connection.api(f"CONSUMER.INFO.{stream}.{consumer}"), _Consumer)
        if not (count := info.num_pending + info.num_ack_pending):
            return Unfinished(0, 0.0)
        oldest = {"seq": info.ack_floor.stream_seq + 1, "next_by_subj": subjects}
        found = msgspec.convert(await connection.api(f"STREAM.MSG.GET.{stream}", oldest), _Found)
    except ApiRefused:  # no consumer yet, or the last message was finished in between
        return Unfinished(0, 0.0)
    return Unfinished(count, max(0.0, (info.ts - found.message.time).total_seconds()))


class Hands(Protocol):
    """Whoever has handed an order out."""

    def lease(self, order: "NatsOrder") -> asyncio.TimerHandle: ...
    def release(self, order: "NatsOrder") -> None: ...
    def count(self, order: "NatsOrder") -> None: ...
    def say(self, reply_to: bytes, word: bytes) -> None: ...


class NatsOrder:
    def __init__(self, message: Pulled, taking: Hands) -> None:
        self.body = message.body
        self.deliveries = message.deliveries
        self._reply_to = message.reply_to
        self._taking = taking
        self._lease = taking.lease(self)

    async def done(self) -> None:
        self._settle(b"+ACK")

    async def extend(self) -> None:
        self._lease.cancel()
        self._lease = self._taking.lease(self)
        self._say(b"+WPI")

    async def later(self, delay_s: float) -> None:
        self._settle(b"-NAK " + msgspec.json.encode({"delay": int(delay_s * 1e9)}))

    def park(self) -> None:
        self._taking.release(self)

    def unpark(self) -> None:
        self._taking.count(self)

    def _settle(self, word: bytes) -> None:
        self._lease.cancel()
        self._taking.release(self)
        self._say(word)

    def _say(self, word: bytes) -> None:
        self._taking.say(self._reply_to, word)


class Taking:
    def __init__(self, connection: NatsConnection, lane: Lane, max_in_flight: int) -> None:
        self._connection = connection
        self._lane = lane
        self._max_in_flight = max_in_flight
        self._in_flight: set[NatsOrder] = set()
        self._puller = Puller(connection, lane.stream, lane.consumer)
        self._puller.fail(UNPREPARED)
        self._is_to_ask = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Order:
        while True:
            await self._healthy()
            if self._puller.messages:
                order = NatsOrder(self._puller.messages.popleft(), self)
                self._in_flight.add(order)
                return order
            self._ask()
            await self._puller.wait()

    async def close(self) -> None:
        """What was received and not handed out comes back to somebody else at once."""
        await self._puller.close()
        for message in self._puller.messages:
            self.say(message.reply_to, b"-NAK")

    def lease(self, order: NatsOrder) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._lane.lease_s, self.release, order)

    def release(self, order: NatsOrder) -> None:
        self._in_flight.discard(order)
        if not self._is_to_ask:  # once for all that are released in this turn of the loop
            self._is_to_ask = True
            asyncio.get_running_loop().call_soon(self._ask)

    def count(self, order: NatsOrder) -> None:
        self._in_flight.add(order)

    def say(self, reply_to: bytes, word: bytes) -> None:
        with suppress(NoAnswer):  # then the lease ends and the order is handed out again
            self._connection.send_empty([reply_to], word)

    async def _healthy(self) -> None:
        while self._puller.trouble is not None and not self._puller.messages:
            self._puller.reset()
            try:
                await self._puller.open()
                await self._lane.prepare()
                await self._make_consumer()
            except (NoAnswer, ApiRefused) as fault:
                _log.info("lane_interrupted", consumer=self._lane.consumer, fault=str(fault))
                self._puller.fail(UNPREPARED)
                await asyncio.sleep(RETRY_S)
                await self._connection.connected()

    async def _make_consumer(self) -> None:
        lane = self._lane
        configuration = {
            "durable_name": lane.consumer,
            "filter_subject": lane.subjects,
            "ack_policy": "explicit",
            "ack_wait": int(lane.lease_s * 1e9),
            "max_ack_pending": MOST_HANDED_OUT,
        }
        await self._connection.api(
            f"CONSUMER.CREATE.{lane.stream}.{lane.consumer}", {"stream_name": lane.stream, "config": configuration}
        )

    def _ask(self) -> None:
        """Ask for as many as there is room for, though not anew for every single one."""
        self._is_to_ask = False
        asked = self._puller.asked
        room = self._max_in_flight - len(self._in_flight) - len(self._puller.messages) - asked
        if self._puller.is_open and self._puller.trouble is None and room > 0 and asked <= room:
            self._puller.ask(room, EXPIRES_S)
