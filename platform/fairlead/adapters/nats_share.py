"""Partitions shared among processes: one durable consumer each, held by whoever the engine has pinned.

The pin says who may receive, not what has been dealt with. So at each new pin the holder asks where the acknowledged
commits end and fills what lies between there and what it was given; from then on order follows from the sequence, and
a commit that is delivered again is recognised by it. Acknowledging a commit acknowledges all before it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Self

import msgspec
import structlog
from msgspec import Struct

from fairlead.adapters.nats_bodies import CommitBodies, Found
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import ApiRefused, NoAnswer, header_in
from fairlead.adapters.nats_pull import WRONG_PIN, Pulled, Puller
from fairlead.domain.envelope import PARTITIONS, Kind
from fairlead.domain.subjects import events_of_kinds, token
from fairlead.ports import Delivery, Followed

IDLE_S = 10.0  # how long a request waits where nothing happens
RETRY_S = 0.5
FILL_PAGE = 500
_GROUP = "holder"  # the engine wants a name for the one group of candidates that a consumer has

_log = structlog.get_logger(__name__)


class Group(Struct, frozen=True):
    """What all partitions of one shared reading have in common."""

    connection: NatsConnection
    bodies: CommitBodies
    stream: str
    shard: int
    name: str
    kinds: Sequence[Kind]
    max_batch: int
    failover_s: float


class Sharing:
    def __init__(self, group: Group) -> None:
        token(group.name)
        self._ready: asyncio.Queue[_NatsDelivery | BaseException] = asyncio.Queue()  # at most one for each partition
        self._partitions = [_Partition(group, number, self._ready) for number in range(PARTITIONS)]
        self._tasks = [asyncio.create_task(partition.run()) for partition in self._partitions]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        ready = await self._ready.get()
        if isinstance(ready, BaseException):
            raise ready
        return ready

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(partition.let_go() for partition in self._partitions))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._ready.put_nowait(fault)


class _NatsDelivery:
    def __init__(self, of: "_Partition", recorded: list[Followed], ack_to: bytes) -> None:
        self.partition = of.number
        self.recorded: Sequence[Followed] = recorded
        self.settled = asyncio.Event()
        self.again_after_s: float | None = None
        self._of = of
        self._ack_to = ack_to

    async def ack(self) -> None:
        self._of.acknowledge(self.recorded[-1].sequence, self._ack_to)
        self.settled.set()

    async def nack(self, delay_s: float) -> None:
        self.again_after_s = delay_s
        self.settled.set()


class _InHand(Struct, frozen=True):
    """A commit that is ours to hand out. One that was fetched to fill a gap has nowhere to be acknowledged."""

    found: Found
    ack_to: bytes = b""


class _Partition:
    def __init__(self, group: Group, number: int, ready: "asyncio.Queue[_NatsDelivery | BaseException]") -> None:
        self.number = number
        self._group = group
        self._connection = group.connection
        self._ready = ready
        self._consumer = f"{group.name}-{number}"
        self._puller = Puller(group.connection, group.stream, self._consumer)
        self._beat_s = group.failover_s / 4
        self._pin = ""
        self._in_hand: deque[_InHand] = deque()
        self._received = 0  # every matching commit up to here is in hand or dealt with
        self._dealt_with = 0
        self._asked_at = 0.0
        self._busy_until = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._puller.open()
                await self._make_consumer()
                await self._serve()
            except (NoAnswer, ApiRefused) as fault:
                _log.info("share_interrupted", consumer=self._consumer, fault=str(fault))
                await asyncio.sleep(RETRY_S)
                await self._connection.connected()

    async def let_go(self) -> None:
        """Give what is in hand back at once, so that another need not wait until we are missed."""
        await self._puller.close()
        if not self._pin:
            return
        with suppress(NoAnswer, ApiRefused):
            self._connection.send_empty([each.ack_to for each in self._in_hand if each.ack_to], b"-NAK")
            unpin = f"CONSUMER.UNPIN.{self._group.stream}.{self._consumer}"
            await self._connection.api(unpin, {"group": _GROUP}, timeout_s=1.0)

    def acknowledge(self, sequence: int, ack_to: bytes) -> None:
        self._dealt_with = max(self._dealt_with, sequence)
        if ack_to:
            with suppress(NoAnswer):  # then it is delivered again, and acknowledged on sight
                self._connection.send_empty([ack_to], b"+ACK")

    async def _make_consumer(self) -> None:
        group = self._group
        configuration = {
            "durable_name": self._consumer,
            "filter_subjects": events_of_kinds(group.kinds, self.number, group.shard),
            "ack_policy": "all",
            "ack_wait": int(group.failover_s * 1e9),
            "max_ack_pending": 4 * group.max_batch,
            "priority_groups": [_GROUP],
            "priority_policy": "pinned_client",
            "priority_timeout": int(group.failover_s * 1e9),
        }
        made = await self._connection.api(
            f"CONSUMER.CREATE.{group.stream}.{self._consumer}", {"stream_name": group.stream, "config": configuration}
        )
        if made["delivered"]["stream_seq"] == 0:
            self._dealt_with = 0  # it is a new one: somebody wants all of it again

    async def _serve(self) -> None:
        self._start_over()
        while True:
            if self._puller.trouble == WRONG_PIN:
                self._start_over()
            elif self._puller.trouble is not None:
                raise NoAnswer
            await self._take_in()
            self._ask()
            if self._in_hand:
                await self._hand_over()
            else:
                await self._puller.wait(self._beat_s if self._is_busy() else None)

    def _start_over(self) -> None:
        self._puller.reset()
        self._pin = ""
        self._in_hand.clear()

    def _ask(self) -> None:
        """Ask for a batch ahead. Asking is also what keeps the pin, so a busy partition asks often, if only for one."""
        now, busy, asked = asyncio.get_running_loop().time(), self._is_busy(), self._puller.asked
        room = 2 * self._group.max_batch - len(self._in_hand) - len(self._puller.messages) - asked
        is_due = (not asked and room >= self._group.max_batch) or (busy and now >= self._asked_at + self._beat_s)
        if is_due and self._puller.trouble is None:
            self._asked_at = now
            identity = {"group": _GROUP, "id": self._pin} if self._pin else {"group": _GROUP}
            self._puller.ask(max(1, room), 2 * self._beat_s if busy else IDLE_S, identity)

    def _is_busy(self) -> bool:
        return bool(self._in_hand) or asyncio.get_running_loop().time() < self._busy_until

    async def _take_in(self) -> None:
        messages = self._puller.messages
        while messages and len(self._in_hand) < self._group.max_batch:
            self._busy_until = asyncio.get_running_loop().time() + self._group.failover_s
            if not self._pin or self._pin.encode() not in messages[0].headers:
                await self._pinned_anew()
            if not messages:
                return
            message = messages.popleft()
            if message.sequence <= self._dealt_with:
                self.acknowledge(message.sequence, message.reply_to)
            elif message.sequence > self._received:
                self._in_hand.append(_in_hand(message))
                self._received = message.sequence

    async def _pinned_anew(self) -> None:
        """Take stock: all that was given to anybody and not acknowledged is ours now, oldest first."""
        messages = self._puller.messages
        self._pin = header_in(messages[0].headers, "Nats-Pin-Id") or ""
        self._in_hand.clear()
        info = await self._connection.api(f"CONSUMER.INFO.{self._group.stream}.{self._consumer}")
        floor, given = info["ack_floor"]["stream_seq"], info["delivered"]["stream_seq"]
        ours = {message.sequence: _in_hand(message) for message in messages if floor < message.sequence <= given}
        if len(ours) != info["num_ack_pending"]:
            found = await self._fill(floor, given)
            if len(found) < info["num_ack_pending"]:
                raise NoAnswer  # from a replica that has not got all of them yet
            ours = {each.sequence: ours.get(each.sequence, _InHand(each)) for each in found}
        self._in_hand.extend(ours[sequence] for sequence in sorted(ours) if sequence > self._dealt_with)
        self._received = max(self._dealt_with, given)

    async def _fill(self, start: int, end: int) -> list[Found]:
        found: list[Found] = []
        for subjects in events_of_kinds(self._group.kinds, self.number, self._group.shard):
            after = start
            while after < end:
                page = await self._page(subjects, after)
                found += [each for each in page if each.sequence <= end]
                after = page[-1].sequence if page else end
        return found

    async def _page(self, subjects: str, after: int) -> list[Found]:
        question = msgspec.json.encode({"seq": after + 1, "next_by_subj": subjects, "batch": FILL_PAGE})
        replies, _ = await self._connection.request_many(f"$JS.API.DIRECT.GET.{self._group.stream}", question)
        return [
            Found(int(reply.header("Nats-Sequence") or 0), reply.header("Nats-Subject") or "", reply.data)
            for reply in replies
        ]

    async def _hand_over(self) -> None:
        """One delivery at a time, again and again until it is acknowledged or the partition is lost."""
        batch = list(islice(self._in_hand, self._group.max_batch))
        recorded = await self._group.bodies.each(each.found for each in batch)
        ack_to = next((each.ack_to for each in reversed(batch) if each.ack_to), b"")
        while self._puller.trouble is None:
            delivery = _NatsDelivery(self, recorded, ack_to)
            self._ready.put_nowait(delivery)
            await self._wait_for(delivery.settled, None)
            if delivery.again_after_s is None:
                for _ in batch:
                    self._in_hand.popleft()
                return
            await self._wait_for(asyncio.Event(), delivery.again_after_s)

    async def _wait_for(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Return when it is set or the time is up, keeping the pin meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not event.is_set():
                    self._ask()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._beat_s):
                            await event.wait()


def _in_hand(message: Pulled) -> _InHand:
    return _InHand(Found(message.sequence, message.subject, message.body), message.reply_to)
