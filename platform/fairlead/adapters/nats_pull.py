"""Requests for messages of one consumer, and the queue of what they brought."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from fairlead.adapters.nats_connection import Inbox, NatsConnection
from fairlead.adapters.nats_messages import NoAnswer, Reply

GRACE_S = 2.0  # after its end a request counts as over, even if nobody says so
_OVER = (404, 408)  # the ordinary ends of a request: nothing there, or its time is up
_NOTHING_MORE = 404
_AT_ONCE = {"no_wait": True}  # together with an end: what is there now, or else the first that comes
_HEARTBEAT = 100
LOST = -1  # the connection broke
GAP = -2  # messages did not come in the order they were sent
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
            reply.subject.decode(),
            reply.data,
            reply.headers,
            reply.reply_to,
            int(deliveries),
            int(sequence),
            int(consumer_sequence),
            int(pending),
        )


class Puller:
    """`trouble` is set when requests can no longer be answered as asked: `reset` and ask anew, or leave it."""

    def __init__(
        self, connection: NatsConnection, stream: str, consumer: str, told: Callable[[], None] | None = None
    ) -> None:
        """`told` is called each time there is something new to look at, for whoever does not `wait`."""
        self.messages: deque[Pulled] = deque()
        self.trouble: int | None = None
        self.asked = 0  # messages that may still come without asking again
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox: Inbox | None = None
        self._answered_by = 0.0
        self._news = asyncio.Event()
        self._told = told

    async def open(self) -> None:
        if self._inbox is None:
            self._inbox = await self._connection.inbox(self._take)

    async def close(self) -> None:
        if self._inbox is not None:
            await self._inbox.close()
        self._inbox = None

    @property
    def is_open(self) -> bool:
        return self._inbox is not None

    def ask(self, batch: int, expires_s: float, rest: Mapping[str, Any] | None = None) -> None:
        assert self._inbox is not None, "open"
        body = msgspec.json.encode({"batch": batch, "expires": int(expires_s * 1e9), **(rest or {})})
        self._answered_by = max(self._answered_by, asyncio.get_running_loop().time() + expires_s + GRACE_S)
        self.asked += batch
        self._news.set()  # whoever waits has one more end to watch
        try:
            self._connection.send(self._subject, body, answer_to=self._inbox.subject)
        except NoAnswer:
            self.fail(LOST)

    async def burst(self, batch: int, expires_s: float) -> None:
        """Ask for what is there, or else for the first that comes, and return once that is all here.

        Nothing is under way afterwards, so what comes next is sent together too. There may be trouble.
        """
        if not self.asked:  # else whoever asked gave up waiting
            self.ask(batch, expires_s, _AT_ONCE)
        while self.asked and self.trouble is None:
            self._news.clear()
            try:
                async with asyncio.timeout_at(self._answered_by):
                    await self._news.wait()
            except TimeoutError:
                self.asked = 0

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when a message or trouble is there, when a request has ended, or the time is up."""
        self._news.clear()
        if self.messages or self.trouble is not None:
            return
        now = asyncio.get_running_loop().time()
        ends = [now + timeout_s] if timeout_s is not None else []
        if self.asked:
            ends.append(self._answered_by)
        try:
            async with asyncio.timeout_at(min(ends, default=None)):
                await self._news.wait()
        except TimeoutError:
            if asyncio.get_running_loop().time() >= self._answered_by:
                self.asked = 0  # the ends of requests were lost, or counted wrongly: ask again

    def forget_unanswered(self) -> None:
        """The ends of requests may have been lost: what should be over counts as over."""
        if self.asked and asyncio.get_running_loop().time() >= self._answered_by:
            self.asked = 0

    def reset(self) -> None:
        """Forget all requests and messages, and the trouble."""
        self.messages.clear()
        self.asked = 0
        self.trouble = None

    def fail(self, trouble: int) -> None:
        self.asked = 0
        self.trouble = trouble
        self._tell()

    def _take(self, reply: Reply | None) -> None:
        if reply is None:
            self.fail(LOST)
        elif not (status := reply.status):
            self.messages.append(Pulled.of(reply))
            self.asked = max(0, self.asked - 1)
            self._tell()
        elif status in _OVER:
            # Only whoever wants what is there now, and has nothing else under way, is told that there is no more.
            self.asked = (
                0 if status == _NOTHING_MORE else max(0, self.asked - int(reply.header("Nats-Pending-Messages") or 0))
            )
            self._tell()
        elif status != _HEARTBEAT:
            self.fail(status)

    def _tell(self) -> None:
        self._news.set()
        if self._told is not None:
            self._told()
