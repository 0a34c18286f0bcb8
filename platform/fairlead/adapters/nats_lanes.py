"""A lane that tenants share fairly: the orders of each are a line of their own, and the lines are served in turn.

A line is a durable consumer, made when a tenant's first order comes. Every taker hears of every order as it is
published, since the stream's subjects are subjects like any other; so nobody asks for work that is not there, and a
thousand orders of one tenant are not in front of the one of another. What was published while a taker was not listening
it finds by looking, and in any case when the watch makes the order again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Self

import msgspec
import structlog
from msgspec import Struct

from fairlead.adapters.nats_connection import Inbox, NatsConnection
from fairlead.adapters.nats_messages import NO_STREAM, ApiRefused, NoAnswer, Reply
from fairlead.adapters.nats_orders import MOST_HANDED_OUT, NatsOrder
from fairlead.adapters.nats_pull import Puller
from fairlead.domain.fairness import may_take, most_more
from fairlead.ports import Order, Unfinished

EXPIRES_S = 30.0
RETRY_S = 0.5
LOOKS = 2
LOOK_EVERY_S = 2.0
LOOK_AGAIN_S = 0.25  # what was published just before we listened may not be stored when we look first
UNUSED_S = 60.0  # after which nobody asks for a tenant's orders any more
FORGOTTEN_S = 24 * 3600  # after which the engine drops a line that nobody has asked
_OVERLAPS = (10099, 10100)  # with a consumer of the whole lane, as programs before this one made it

_log = structlog.get_logger(__name__)


class FairLane(Struct, frozen=True):
    """`root` is the part of subjects before the tenant. `prepare` makes the stream, should that be gone."""

    stream: str
    name: str
    root: str
    lease_s: float
    prepare: Callable[[], Awaitable[None]]

    def line(self, tenant_id: str) -> str:
        return f"{self.name}-{tenant_id}"


class _Delivered(Struct):
    stream_seq: int


class _Line(Struct):
    name: str
    ts: datetime  # by the server's clock, like the time of a message
    num_pending: int
    num_ack_pending: int
    delivered: _Delivered


class _Stored(Struct):
    time: datetime


class _Found(Struct):
    message: _Stored


async def unfinished_of_lane(connection: NatsConnection, stream: str, name: str, root: str) -> Unfinished:
    """Over all lines. The oldest is the one that waits longest to be taken: those in hand may wait for a limit."""
    count, oldest_s = 0, 0.0
    for line in await _lines(connection, stream, name):
        count += line.num_pending + line.num_ack_pending
        if line.num_pending:
            tenant_id = line.name.removeprefix(f"{name}-")
            question = {"seq": line.delivered.stream_seq + 1, "next_by_subj": f"{root}.{tenant_id}.>"}
            with suppress(ApiRefused):  # it was taken in between
                found = msgspec.convert(await connection.api(f"STREAM.MSG.GET.{stream}", question), _Found)
                oldest_s = max(oldest_s, (line.ts - found.message.time).total_seconds())
    return Unfinished(count, oldest_s)


async def _lines(connection: NatsConnection, stream: str, name: str) -> list[_Line]:
    """Nothing where nobody has taken from the lane yet: lines are made by the first who does."""
    found: list[_Line] = []
    offset = 0
    while True:
        try:
            page = await connection.api(f"CONSUMER.LIST.{stream}", {"offset": offset})
        except ApiRefused:
            return found
        consumers = page.get("consumers") or []
        found += [msgspec.convert(each, _Line) for each in consumers if each["name"].startswith(f"{name}-")]
        offset += len(consumers)
        if not consumers or offset >= page.get("total", 0):
            return found


class FairTaking:
    """Orders of one lane for one worker, at most `max_in_flight` at once."""

    def __init__(self, connection: NatsConnection, lane: FairLane, max_in_flight: int) -> None:
        self.connection = connection
        self.lane = lane
        self.max_in_flight = max_in_flight
        self.used = 0
        self.without_place: set[Line] = set()  # they ask again once somebody has given one back
        self._lines: dict[str, Line] = {}
        self._waiting: deque[Line] = deque()  # with messages, the one whose turn it is first
        self._news = asyncio.Event()
        self._hearing: Inbox | None = None
        self._looks = LOOKS
        self._looking: asyncio.Task[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Order:
        while True:
            self._news.clear()
            if self._hearing is None:
                await self._listen()
            if (order := self._next()) is not None:
                return order
            await self._news.wait()

    @property
    def lines(self) -> int:
        return len(self._lines)

    async def close(self) -> None:
        """What was received and not handed out comes back to somebody else at once."""
        if self._looking is not None:
            self._looking.cancel()
        if self._hearing is not None:
            await self._hearing.close()
        for line in self._lines.values():
            await line.close()

    def has_news(self, line: "Line | None" = None) -> None:
        if line is not None and line.puller.messages and not line.is_waiting:
            line.is_waiting = True
            self._waiting.append(line)
        self._news.set()

    def ask_for_places(self) -> None:
        lines, self.without_place = self.without_place, set()
        for line in lines:
            line.ask()

    def _next(self) -> Order | None:
        """From the first line in turn that has an order and may have another place."""
        for _ in range(len(self._waiting)):
            line = self._waiting.popleft()
            if not line.puller.messages:
                line.is_waiting = False
                continue
            if not may_take(len(line.in_flight), self.used, self.max_in_flight):
                self._waiting.append(line)
                continue
            order = line.hand_out()
            line.is_waiting = bool(line.puller.messages)
            if line.is_waiting:
                self._waiting.append(line)
            return order
        return None

    def _line(self, tenant_id: str) -> "Line":
        if (line := self._lines.get(tenant_id)) is None:
            line = self._lines[tenant_id] = Line(self, tenant_id)
        return line

    def _heard(self, reply: Reply | None) -> None:
        if reply is None:  # what was published since is not heard of
            self._looks = LOOKS
        else:
            self._line(reply.subject[len(self.lane.root) + 1 :].partition(b".")[0].decode()).call()

    async def _listen(self) -> None:
        """Also where there is no connection now: the library asks for it once there is."""
        self._hearing = await self.connection.listen(f"{self.lane.root}.>", self._heard)
        self._looking = asyncio.create_task(self._look_after())

    async def _look_for_orders(self) -> None:
        """Lines for whatever is there already."""
        try:
            for tenant_id in await self._tenants():
                self._line(tenant_id).call()
        except (NoAnswer, ApiRefused) as fault:
            _log.info("lane_interrupted", lane=self.lane.name, fault=str(fault))
            await self.connection.connected()
        else:
            self._looks -= 1

    async def _tenants(self) -> set[str]:
        tenants: set[str] = set()
        offset = 0
        while True:
            question = {"subjects_filter": f"{self.lane.root}.>", "offset": offset}
            try:
                info = await self.connection.api(f"STREAM.INFO.{self.lane.stream}", question)
            except ApiRefused as refusal:
                if refusal.number != NO_STREAM:
                    raise
                await self.lane.prepare()
                return tenants
            subjects = info["state"].get("subjects") or {}
            tenants |= {subject[len(self.lane.root) + 1 :].partition(".")[0] for subject in subjects}
            offset += len(subjects)
            if not subjects or offset >= info.get("total", 0):
                return tenants

    async def _look_after(self) -> None:
        """Until cancelled."""
        while True:
            if self._looks:
                await self._look_for_orders()
            now_s = asyncio.get_running_loop().time()
            for tenant_id, line in list(self._lines.items()):
                if line.is_unused_since(now_s - UNUSED_S):
                    del self._lines[tenant_id]
                    await line.close()
                else:
                    line.puller.forget_unanswered()
                    line.ask()
            await asyncio.sleep(LOOK_AGAIN_S if self._looks else LOOK_EVERY_S)


class Line:
    """The orders of one tenant."""

    def __init__(self, taking: FairTaking, tenant_id: str) -> None:
        self.in_flight: set[NatsOrder] = set()
        self.is_waiting = False
        self._taking = taking
        self._tenant_id = tenant_id
        self._consumer = taking.lane.line(tenant_id)
        self.puller = Puller(taking.connection, taking.lane.stream, self._consumer, self._told)
        self._is_ready = False
        self._is_to_ask = False
        self._called_s = 0.0
        self._mending: asyncio.Task[None] | None = None

    def call(self) -> None:
        """There is an order, or may be."""
        self._called_s = asyncio.get_running_loop().time()
        if self._is_ready:
            self.ask()
        elif self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._make_ready())

    def hand_out(self) -> NatsOrder:
        order = NatsOrder(self.puller.messages.popleft(), self)
        self.count(order)
        return order

    def ask(self) -> None:
        """For as many as there is room for, though not anew for every single one.

        Who has none in hand asks for one in any case, to be there when its turn comes. What others may not have here
        is left to other workers until a place is free.
        """
        self._is_to_ask = False
        if not self._is_ready or not self.puller.is_open:
            return
        taking, asked = self._taking, self.puller.asked
        part = max(1, 2 * taking.max_in_flight // taking.lines)  # or all that come at once would wait here for long
        room = min(most_more(len(self.in_flight), taking.used, taking.max_in_flight), part)
        if room < 1 and self.in_flight:
            taking.without_place.add(self)
            return
        room = max(room, 1) - len(self.puller.messages) - asked
        if room > 0 and asked <= room:
            self.puller.ask(room, EXPIRES_S)

    def _ask_with_others(self) -> None:
        self.ask()
        self._taking.ask_for_places()

    def is_unused_since(self, moment_s: float) -> bool:
        return self._called_s < moment_s and not self.in_flight and not self.puller.messages

    async def close(self) -> None:
        if self._mending is not None:
            self._mending.cancel()
        await self.puller.close()
        for message in self.puller.messages:
            self.say(message.reply_to, b"-NAK")

    def lease(self, order: NatsOrder) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._taking.lane.lease_s, self.release, order)

    def count(self, order: NatsOrder) -> None:
        if order not in self.in_flight:
            self.in_flight.add(order)
            self._taking.used += 1

    def release(self, order: NatsOrder) -> None:
        if order in self.in_flight:
            self.in_flight.discard(order)
            self._taking.used -= 1
            self._taking.has_news()
        if not self._is_to_ask:  # once for all that are released in this turn of the loop
            self._is_to_ask = True
            asyncio.get_running_loop().call_soon(self._ask_with_others)

    def say(self, reply_to: bytes, word: bytes) -> None:
        with suppress(NoAnswer):  # then the lease ends and the order is handed out again
            self._taking.connection.send_empty([reply_to], word)

    def _told(self) -> None:
        if self.puller.messages:
            self._called_s = asyncio.get_running_loop().time()
            self._taking.has_news(self)
        elif self.puller.trouble is not None:
            self._is_ready = False
            self.call()
        elif not self.puller.asked:
            self.ask()

    async def _make_ready(self) -> None:
        while True:
            try:
                self.puller.reset()
                await self.puller.open()
                await self._make_consumer()
            except (NoAnswer, ApiRefused) as fault:
                _log.info("lane_interrupted", consumer=self._consumer, fault=str(fault))
                await asyncio.sleep(RETRY_S)
                await self._taking.connection.connected()
            else:
                self._is_ready = True
                self.ask()
                return

    async def _make_consumer(self) -> None:
        lane = self._taking.lane
        configuration = {
            "durable_name": self._consumer,
            "filter_subject": f"{lane.root}.{self._tenant_id}.>",
            "ack_policy": "explicit",
            "ack_wait": int(lane.lease_s * 1e9),
            "max_ack_pending": MOST_HANDED_OUT,
            "inactive_threshold": FORGOTTEN_S * 10**9,
        }
        create = f"CONSUMER.CREATE.{lane.stream}.{self._consumer}"
        try:
            await self._taking.connection.api(create, {"stream_name": lane.stream, "config": configuration})
        except ApiRefused as refusal:
            if refusal.number == NO_STREAM:
                await lane.prepare()
            elif refusal.number in _OVERLAPS:
                await self._taking.connection.api(f"CONSUMER.DELETE.{lane.stream}.{lane.name}")
            else:
                raise
            await self._taking.connection.api(create, {"stream_name": lane.stream, "config": configuration})
