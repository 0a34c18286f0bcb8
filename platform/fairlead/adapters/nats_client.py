"""The client library, made to hand over messages without detours and never to give up."""

import asyncio
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from fairlead.adapters.nats_messages import NoAnswer, Reply, Sink
from fairlead.adapters.nats_parser import SwiftParser


class SwiftClient(Client):
    """Hands messages straight to sinks of ours: no queue, no task and no header parsing between."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = SwiftParser(self, self)
        self.sinks: dict[int, Sink] = {}  # by subscription

    def hear(self, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        if (sink := self.sinks.get(sid)) is not None:
            sink(Reply(subject, reply, headers, body))

    async def _process_err(self, err_msg: str) -> None:
        # The library closes for good on most of these (an expired credential, say); a server process must come back.
        if "permissions violation" in err_msg:
            await super()._process_err(err_msg)
        else:
            await self._process_op_err(NatsError(err_msg))

    async def listen(self, subject: str, sink: Sink) -> Subscription:
        subscription = await self.subscribe(subject)
        self.sinks[subscription._id] = sink  # noqa: SLF001 - it has no public name
        return subscription

    async def forget(self, subscription: Subscription) -> None:
        self.sinks.pop(subscription._id, None)  # noqa: SLF001
        with suppress(NatsError):  # it ended with the connection
            await subscription.unsubscribe()

    def send(self, command: bytes) -> None:
        """Queue a whole protocol command; the library's flusher writes what has gathered. Raises NoAnswer."""
        if not self.is_connected:
            raise NoAnswer
        self._pending.append(command)
        self._pending_data_size += len(command)
        assert self._flush_queue is not None, "connected"
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    @property
    def unsent_bytes(self) -> int:
        return self._pending_data_size

    def forget_unsent(self) -> None:
        """Whoever waits for an answer is told of the loss; sending the request later would only surprise."""
        self._pending.clear()
        self._pending_data_size = 0
