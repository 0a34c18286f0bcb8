"""The connection to nats-server: requests with one or many answers, and nothing that outlives an answer."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from fairlead.adapters.nats_answers import Answer, Answers
from fairlead.adapters.nats_client import SwiftClient
from fairlead.adapters.nats_messages import (
    WRONG_LAST_SEQUENCE,
    ApiRefused,
    NoAnswer,
    Refusal,
    Reply,
    Sink,
    Stored,
    sound,
    stored_in,
)
from fairlead.domain.errors import FairleadError

__all__ = ["OLDEST_SERVER", "WRONG_LAST_SEQUENCE", "ApiRefused", "Inbox", "NatsConnection", "NoAnswer", "Reply"]

OLDEST_SERVER = (2, 12)
PATIENCE_S = 10.0  # how long an unknown answer is asked again before the caller hears of it
ANSWER_S = 5.0  # how long one request waits
CLOSE_S = 2.0
MAX_UNSENT_BYTES = 8 * 1024 * 1024

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class ServerTooOld(FairleadError):
    code = "engine_too_old"


class Inbox:
    def __init__(self, client: SwiftClient, subject: str, subscription: Subscription) -> None:
        self.subject = subject.encode()
        self._client = client
        self._subscription = subscription

    async def close(self) -> None:
        await self._client.forget(self._subscription)


class NatsConnection:
    """Made by `open`. Reconnects for ever by itself; `on_reconnect` are run each time it has."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self.breaks = 0  # how often the connection was lost: what holds while it stands is asked again after each
        self._client = SwiftClient()
        self._answers = Answers(min(ANSWER_S, patience_s))
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
        self._answers.close()
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()

    async def inbox(self, sink: Sink) -> "Inbox":
        """A subscription of one's own, for messages that keep the subject they were published under."""
        subject = self._client.new_inbox()
        return Inbox(self._client, subject, await self._client.listen(subject, sink))

    async def listen(self, subject: str, sink: Sink) -> "Inbox":
        """Whatever is published there while we are connected; None each time the connection breaks."""
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
        return sound(await self.ask(subject, body, headers, timeout_s))

    def ask(self, subject: str, body: bytes, headers: bytes = b"", timeout_s: float | None = None) -> Answer:
        """The answer to come, None when none does. Several may wait for it."""
        return self._ask(subject, body, headers, None, timeout_s)

    async def request_many(
        self, subject: str, body: bytes, timeout_s: float | None = None
    ) -> tuple[list[Reply], Reply]:
        """Messages up to the one that carries a status, and that one."""
        replies: list[Reply] = []
        last = await self._ask(subject, body, b"", replies, timeout_s)
        return replies, sound(last)

    async def api(self, call: str, body: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """JetStream's management calls. Raises ApiRefused."""
        reply = await self.request(f"$JS.API.{call}", msgspec.json.encode(body) if body else b"", timeout_s=timeout_s)
        answer = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise msgspec.convert(answer["error"], Refusal).raised()
        return answer

    async def publish(self, subject: str, body: bytes, headers: bytes, timeout_s: float | None = None) -> Stored:
        """Store one message. Raises ApiRefused."""
        stored = stored_in((await self.request(subject, body, headers, timeout_s)).data)
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

    def _ask(
        self,
        subject: str,
        body: bytes,
        headers: bytes,
        gathered: list[Reply] | None,
        timeout_s: float | None,
    ) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        try:
            self.send(subject, body, headers, self._answers.expect(answer, gathered, timeout_s))
        except NoAnswer:
            answer.set_result(None)
        return answer

    async def _welcome(self) -> None:
        version = self._client.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            await self.close()
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise ServerTooOld(f"nats-server {version} is too old: {oldest} or newer is needed")
        prefix = self._client.new_inbox() + "."
        self._answers.come_to(prefix)
        await self._client.listen(prefix + "*", self._answers.take)
        self._connected.set()

    def _lose_answers(self) -> None:
        self._client.forget_unsent()
        self._connected.clear()
        for sink in list(self._client.sinks.values()):
            sink(None)

    async def _lost(self) -> None:
        self.breaks += 1
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
