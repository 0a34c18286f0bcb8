"""The connection to nats-server: requests with one or many answers, and nothing that outlives an answer.

All answers come to one subscription and are told apart by the last token of their subject, so that a request costs
no subscription of its own. Everything here fails with NoAnswer, which is Unavailable to the rest of the program.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from fairlead.domain.errors import FairleadError, Unavailable

ENGINE = "the event log"
OLDEST_SERVER = (2, 12)
PATIENCE_S = 10.0  # how long an unknown answer is asked again before the caller hears of it
ANSWER_S = 5.0  # how long one request waits
CLOSE_S = 2.0
MAX_UNSENT_BYTES = 8 * 1024 * 1024
NO_RESPONDERS = 503
WRONG_LAST_SEQUENCE = (10071, 10164)
_PASSING = (10047, 10158)  # no room on the disk; another copy of this message is being stored right now

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class NoAnswer(Unavailable):
    """The engine was not reached or did not answer in time. What was asked may have happened."""

    def __init__(self) -> None:
        super().__init__(ENGINE)


class ApiRefused(FairleadError):
    """The engine understood and said no. `number` is its own code of the reason."""

    code = "engine_refused"

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"{ENGINE} refused: {message} ({number})")
        self.number = number


class _Error(Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""

    def raised(self) -> FairleadError:
        passing = self.code == NO_RESPONDERS or self.err_code in _PASSING
        return NoAnswer() if passing else ApiRefused(self.err_code, self.description)


class Stored(Struct):
    """The engine's word that a message is durable. `duplicate`: it was before, under the same message id."""

    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


class ServerTooOld(FairleadError):
    code = "engine_too_old"


class Reply(NamedTuple):
    """One message as it came. `reply_to` is where an acknowledgement goes."""

    subject: bytes
    reply_to: bytes
    headers: bytes
    data: bytes

    @property
    def status(self) -> int:
        """Status of a message that only the engine itself sends, else 0."""
        return int(self.headers[9:12]) if self.headers[8:9] == b" " else 0

    def header(self, name: str) -> str | None:
        return header_in(self.headers, name)


def header_in(headers: bytes, name: str) -> str | None:
    # The engine's own headers come after those stored with a message, so the last of a name is the one to trust.
    start = headers.rfind(b"\r\n%b:" % name.encode())
    if start < 0:
        return None
    start += len(name) + 3
    return headers[start : headers.index(b"\r\n", start)].decode().strip()


_stored = msgspec.json.Decoder(Stored).decode

Sink = Callable[[Reply | None], None]  # None: the connection broke, nothing more will come


class _Client(Client):
    """Hands messages straight to sinks of ours: no queue, no task and no header parsing between."""

    def __init__(self) -> None:
        super().__init__()
        self.sinks: dict[int, Sink] = {}  # by subscription

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if (sink := self.sinks.get(sid)) is not None:
            sink(Reply(subject, reply, headers or b"", data))

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


class Inbox:
    def __init__(self, client: _Client, subject: str, subscription: Subscription) -> None:
        self.subject = subject.encode()
        self._client = client
        self._subscription = subscription

    async def close(self) -> None:
        await self._client.forget(self._subscription)


class NatsConnection:
    """Made by `open`. Reconnects for ever by itself; `on_reconnect` are run each time it has."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._answer_s = min(ANSWER_S, patience_s)
        self.on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self._client = _Client()
        self._answers: dict[bytes, Sink] = {}
        self._answers_prefix = b""
        self._tokens = count(1)
        self._connected = asyncio.Event()
        self._last_fault = ""
        self._is_closing = False

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        name: str = "fairlead",
        credentials: Path | None = None,
        tls: ssl.SSLContext | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Self:
        """Raises Unavailable when no server answers within `patience_s`, ServerTooOld when one does and is.

        `url` may name several servers, separated by commas.
        """
        self = cls(patience_s)
        try:
            async with asyncio.timeout(patience_s):
                await self._client.connect(
                    [server.strip() for server in url.split(",")],
                    name=name,
                    user_credentials=credentials,
                    tls=tls,
                    error_cb=self._failed,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._back,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,  # type: ignore[arg-type]  # seconds, of which it takes fractions
                    ping_interval=10,
                    pending_size=MAX_UNSENT_BYTES,
                )
        except (TimeoutError, OSError, NatsError) as error:
            await self.close()
            raise NoAnswer from error
        await self._welcome()
        return self

    async def close(self) -> None:
        self._is_closing = True
        self._lose_answers()
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()

    async def inbox(self, sink: Sink) -> "Inbox":
        """A subscription of one's own, for messages that keep the subject they were published under."""
        subject = self._client.new_inbox()
        return Inbox(self._client, subject, await self._client.listen(subject, sink))

    def send(self, subject: str, body: bytes, headers: bytes = b"", answer_to: bytes = b"") -> None:
        """Hand a message to the connection without waiting. `headers` end with an empty line. Raises NoAnswer.

        Subjects and headers are composed by this package from checked tokens.
        """
        if headers:
            sizes = b"%d %d" % (len(headers), len(headers) + len(body))
            command = b"HPUB %b %b %b\r\n%b%b\r\n" % (subject.encode(), answer_to, sizes, headers, body)
        else:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), answer_to, len(body), body)
        self._client.send(command)

    def send_empty(self, subjects: list[bytes], body: bytes) -> None:
        """The same small body to several subjects in one write: acknowledgements. Raises NoAnswer."""
        self._client.send(b"".join(b"PUB %b  %d\r\n%b\r\n" % (subject, len(body), body) for subject in subjects))

    async def room(self) -> None:
        """Wait while too much is queued that the server has not taken yet."""
        if self._client.unsent_bytes > MAX_UNSENT_BYTES:
            with suppress(NatsError):
                await self._client.flush()

    async def request(self, subject: str, body: bytes, headers: bytes = b"", timeout_s: float | None = None) -> Reply:
        answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        def sink(reply: Reply | None) -> None:
            if not answer.done():
                answer.set_result(reply)

        reply = await self._answer(subject, body, headers, sink, answer, timeout_s)
        if reply is None or reply.status == NO_RESPONDERS:
            raise NoAnswer
        return reply

    async def request_many(
        self, subject: str, body: bytes, timeout_s: float | None = None
    ) -> tuple[list[Reply], Reply]:
        """Messages up to the one that carries a status, and that one."""
        replies: list[Reply] = []
        last: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        def sink(reply: Reply | None) -> None:
            if reply is not None and not reply.status:
                replies.append(reply)
            elif not last.done():
                last.set_result(reply)

        end = await self._answer(subject, body, b"", sink, last, timeout_s)
        if end is None or end.status == NO_RESPONDERS:
            raise NoAnswer
        return replies, end

    async def api(self, call: str, body: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """JetStream's management calls. Raises ApiRefused."""
        reply = await self.request(f"$JS.API.{call}", msgspec.json.encode(body) if body else b"", timeout_s=timeout_s)
        answer = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise msgspec.convert(answer["error"], _Error).raised()
        return answer

    async def publish(self, subject: str, body: bytes, headers: bytes, timeout_s: float | None = None) -> Stored:
        """Store one message. Raises ApiRefused."""
        stored = _stored((await self.request(subject, body, headers, timeout_s)).data)
        if stored.error is not None:
            raise stored.error.raised()
        return stored

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again what had no answer, with growing pauses, until `patience_s` have passed."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + self.patience_s, 0.02
        while True:
            try:
                return await ask()
            except NoAnswer:
                if loop.time() + pause_s > deadline:
                    raise
            await asyncio.sleep(pause_s)
            await self.connected(deadline - loop.time())
            pause_s = min(2 * pause_s, 1.0)

    async def connected(self, timeout_s: float | None = None) -> None:
        """Return when there is a connection, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()

    async def _answer(
        self,
        subject: str,
        body: bytes,
        headers: bytes,
        sink: Sink,
        answer: "asyncio.Future[Reply | None]",
        timeout_s: float | None,
    ) -> Reply | None:
        token = b"%d" % next(self._tokens)
        self._answers[token] = sink
        try:
            self.send(subject, body, headers, self._answers_prefix + token)
            async with asyncio.timeout(self._answer_s if timeout_s is None else timeout_s):
                return await answer
        except TimeoutError:
            raise NoAnswer from None
        finally:
            del self._answers[token]

    def _answered(self, reply: Reply | None) -> None:
        if reply is None:
            for waiting in list(self._answers.values()):
                waiting(None)
        elif (sink := self._answers.get(reply.subject[len(self._answers_prefix) :])) is not None:
            sink(reply)

    async def _welcome(self) -> None:
        version = self._client.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            await self.close()
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise ServerTooOld(f"nats-server {version} is too old: {oldest} or newer is needed")
        prefix = self._client.new_inbox() + "."
        self._answers_prefix = prefix.encode()
        await self._client.listen(prefix + "*", self._answered)
        self._connected.set()

    def _lose_answers(self) -> None:
        self._client.forget_unsent()
        self._connected.clear()
        for sink in list(self._client.sinks.values()):
            sink(None)

    async def _lost(self) -> None:
        self._lose_answers()
        if not self._is_closing:
            _log.warning("nats_connection_lost")

    async def _back(self) -> None:
        self._last_fault = ""
        self._connected.set()
        _log.info("nats_connection_back")
        for hook in self.on_reconnect:
            try:
                await hook()
            except FairleadError as error:
                _log.warning("nats_reconnect_hook_failed", error=str(error))

    async def _failed(self, error: Exception) -> None:
        """The library reports every attempt to reconnect; one line for each kind of fault is enough."""
        fault = f"{type(error).__name__}: {error}"
        if fault != self._last_fault:
            self._last_fault = fault
            _log.warning("nats_connection_fault", fault=fault)
