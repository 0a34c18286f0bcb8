"""Requests for messages of one consumer, and the queue of what they brought."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from fairlead.adapters.nats_connection import NatsConnection, NoAnswer, Reply

GRACE_S = 2.0  # after its end a request that has not been answered counts as lost
_OVER = (404, 408)  # the ordinary ends of a request: nothing there, or its time is up
_HEARTBEAT = 100
LOST = -1  # the connection broke
SILENT = -2  # a request passed its end and nobody said so
GAP = -3  # messages did not come in the order they were sent
WRONG_PIN = 423


class Pulled(NamedTuple):
    """A message of a consumer. `pending` is how many match and were not delivered yet when this one was."""

    subject: str
    body: bytes
    headers: bytes
    reply_to: bytes
    deliveries: int
    sequence: int
    consumer_sequence: int
    pending: int

    @classmethod
    def of(cls, reply: Reply) -> "Pulled":
        # $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>
        tokens = reply.reply_to.split(b".")
        first = 4 if len(tokens) == 9 else 6
        deliveries, sequence, consumer_sequence, _, pending = tokens[first : first + 5]
        return cls(
            reply.subject,
            reply.data,
            reply.headers,
            reply.reply_to,
            int(deliveries),
            int(sequence),
            int(consumer_sequence),
            int(pending),
        )


class Puller:
    """`trouble` is set once when requests can no longer be answered as asked; make another Puller, or `reset`."""

    def __init__(self, connection: NatsConnection, stream: str, consumer: str) -> None:
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._requests: dict[bytes, _Request] = {}
        self._news = asyncio.Event()
        self.messages: deque[Pulled] = deque()
        self.trouble: int | None = None

    @property
    def asked(self) -> int:
        """Messages that may still come without asking again."""
        return sum(request.remaining for request in self._requests.values())

    def ask(self, batch: int, expires_s: float, rest: Mapping[str, Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        request = _Request(self, batch, loop.time() + expires_s + GRACE_S)
        request.token = token = self._connection.expect(request.take)
        self._requests[token] = request
        self._news.set()  # whoever waits has one more end to watch
        body = msgspec.json.encode({"batch": batch, "expires": int(expires_s * 1e9), **(rest or {})})
        try:
            self._connection.send(self._subject, body, token=token)
        except NoAnswer:
            self.fail(LOST)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when a message or trouble is there, or a request has ended."""
        loop = asyncio.get_running_loop()
        self._news.clear()
        if self.messages or self.trouble is not None:
            return
        ends = [request.deadline for request in self._requests.values()]
        if timeout_s is not None:
            ends.append(loop.time() + timeout_s)
        try:
            async with asyncio.timeout_at(min(ends, default=None)):
                await self._news.wait()
        except TimeoutError:
            if any(request.deadline <= loop.time() for request in self._requests.values()):
                self.fail(SILENT)

    def reset(self) -> None:
        """Forget all requests and messages, and the trouble."""
        self.close()
        self.messages.clear()
        self.trouble = None

    def close(self) -> None:
        for token in self._requests:
            self._connection.forget(token)
        self._requests.clear()

    def fail(self, trouble: int) -> None:
        self.close()
        self.trouble = trouble
        self._news.set()

    def ended(self, token: bytes) -> None:
        self._connection.forget(token)
        self._requests.pop(token, None)
        self._news.set()

    def arrived(self, message: Pulled) -> None:
        self.messages.append(message)
        self._news.set()


class _Request:
    __slots__ = ("_puller", "deadline", "remaining", "token")

    def __init__(self, puller: Puller, batch: int, deadline: float) -> None:
        self._puller = puller
        self.remaining = batch
        self.deadline = deadline
        self.token = b""

    def take(self, reply: Reply | None) -> None:
        if reply is None:
            self._puller.fail(LOST)
        elif not (status := reply.status):
            self._puller.arrived(Pulled.of(reply))
            self.remaining -= 1
            if not self.remaining:
                self._puller.ended(self.token)
        elif status in _OVER or (status == 409 and b"Batch Completed" in reply.headers):
            self._puller.ended(self.token)
        elif status != _HEARTBEAT:
            self._puller.fail(status)
