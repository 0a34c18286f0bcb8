"""Every commit in order, from a position that the caller keeps: an ordered consumer that is made anew after any gap."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, Self, TypeVar

import structlog

from fairlead.adapters.nats_bodies import Found
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import ApiRefused, NoAnswer
from fairlead.adapters.nats_pull import GAP, Puller

WINDOW = 1000  # messages under way or waiting here; bounds memory to this many claim check sizes
EXPIRES_S = 30.0
UNUSED_S = 60  # after which the engine drops a consumer nobody asks
RETRY_S = 0.5

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Following(Generic[T]):
    """`unpack` makes of messages what the caller is given, one for each. `in_bursts`: see `Log.follow`."""

    def __init__(
        self,
        connection: NatsConnection,
        unpack: Callable[[Sequence[Found]], Awaitable[list[T]]],
        stream: str,
        filters: list[str],
        after: int,
        max_batch: int,
        in_bursts: bool = False,
    ) -> None:
        self._connection = connection
        self._in_bursts = in_bursts
        self._unpack = unpack
        self._stream = stream
        self._filters = filters
        self._position = after
        self._max_batch = max_batch
        self._window = max(WINDOW, 2 * max_batch)
        self._puller: Puller | None = None
        self._consumer = ""
        self._consumer_sequence = 0
        self._in_hand: list[Found] = []
        self._behind = True  # more is known to come, or it is not known that nothing is
        self._told = False  # the caller knows that it has caught up

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        while True:
            puller = await self._healthy()
            if not self._behind and not self._told and not puller.messages:
                self._told = True
                return []
            if self._in_bursts and not self._in_hand and not puller.messages:
                await puller.burst(self._max_batch, EXPIRES_S)
            elif not self._in_bursts:
                self._refill(puller)
            if not self._in_hand:
                self._in_hand = self._cut(puller)
            if self._in_hand:
                return await self._unpacked()
            if not self._in_bursts:
                await puller.wait()

    async def _unpacked(self) -> list[T]:
        # Blobs may be out of reach, or the caller may give up waiting: the batch stays in hand until it is given away.
        while True:
            try:
                batch = await self._unpack(self._in_hand)
            except NoAnswer:
                await asyncio.sleep(RETRY_S)
            else:
                self._in_hand, self._told = [], False
                return batch

    async def close(self) -> None:
        if self._puller is not None:
            await self._puller.close()
            await self._drop()

    async def _healthy(self) -> Puller:
        while self._puller is None or (self._puller.trouble is not None and not self._puller.messages):
            try:
                self._puller = await self._consume()
            except (NoAnswer, ApiRefused) as fault:
                _log.info("follow_interrupted", stream=self._stream, fault=str(fault))
                await asyncio.sleep(RETRY_S)
                await self._connection.connected()
        return self._puller

    async def _consume(self) -> Puller:
        await self.close()
        self._puller = None
        configuration = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "filter_subjects": self._filters,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": UNUSED_S * 10**9,
        }
        made = await self._connection.api(
            f"CONSUMER.CREATE.{self._stream}", {"stream_name": self._stream, "config": configuration}
        )
        self._consumer, self._consumer_sequence = made["name"], 0
        self._behind = made["num_pending"] > 0
        puller = Puller(self._connection, self._stream, self._consumer)
        await puller.open()
        return puller

    async def _drop(self) -> None:
        with suppress(NoAnswer, ApiRefused):  # it goes by itself when nobody asks it
            await self._connection.api(f"CONSUMER.DELETE.{self._stream}.{self._consumer}", timeout_s=1.0)

    def _refill(self, puller: Puller) -> None:
        under_way = puller.asked + len(puller.messages)
        if puller.trouble is None and under_way <= self._window // 2:
            puller.ask(self._window - under_way, EXPIRES_S)

    def _cut(self, puller: Puller) -> list[Found]:
        """What has arrived, in order, up to a gap."""
        batch: list[Found] = []
        while puller.messages and len(batch) < self._max_batch:
            message = puller.messages.popleft()
            if message.consumer_sequence != self._consumer_sequence + 1:
                puller.messages.clear()
                puller.fail(GAP)
                break
            self._consumer_sequence += 1
            self._position, self._behind = message.sequence, message.pending > 0
            batch.append(Found(message.sequence, message.subject, message.body, message.headers))
        return batch
