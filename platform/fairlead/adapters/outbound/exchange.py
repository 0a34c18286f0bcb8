"""One request and its answer, bounded in time and size, and what a failure means for whoever asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpcore2
from fairlead_sdk.errors import AnswerTooLarge, OutcomeUnknown, TryLater
from fairlead_sdk.outbound import HttpAnswer
from msgspec import Struct

from fairlead.adapters.outbound.decoding import BadEncoding, Packed, Plain, unpacking
from fairlead.adapters.outbound.destinations import Destination
from fairlead.adapters.outbound.headers import Pairs

MAX_ANSWER_HEADERS = 128
MAX_ANSWER_HEADER_BYTES = 64 * 1024
_SENDING = "http11.send_request_headers.started"
_TOO_LARGE_HEADERS = 431  # how h11 says it


class Times(Struct, frozen=True, kw_only=True):
    """Each a bound of its own: to connect with TLS, to get rid of a piece, to wait for one, and for all together."""

    connect_s: float = 5.0
    write_s: float = 10.0
    read_s: float = 20.0
    total_s: float

    def extension(self) -> dict[str, float]:
        single = {"connect": self.connect_s, "write": self.write_s, "read": self.read_s, "pool": self.connect_s}
        return {name: min(seconds, self.total_s) for name, seconds in single.items()}


class Exchange:
    """Made for one request."""

    def __init__(self, destination: Destination, method: str, headers: Pairs, body: bytes) -> None:
        self._to = destination
        self._method = method
        self._headers = headers
        self._body = body
        self._is_sent = False

    async def run(self, pool: httpcore2.AsyncConnectionPool, times: Times, max_bytes: int) -> HttpAnswer:
        """Raises Refused, TryLater, OutcomeUnknown, AnswerTooLarge. None of them quotes what was sent or received."""
        with self.meant():
            async with asyncio.timeout(times.total_s):
                response = await pool.handle_async_request(self._request(times))
                try:
                    return await self._read(response, max_bytes)
                finally:
                    await response.aclose()

    @asynccontextmanager
    async def open(
        self, pool: httpcore2.AsyncConnectionPool, times: Times, first_s: float, max_bytes: int
    ) -> AsyncIterator["Arriving"]:
        """The answer once its head is there, its body piece by piece. Raises what `run` raises."""
        ends_at = asyncio.get_running_loop().time() + times.total_s
        with self.meant():
            async with asyncio.timeout(first_s):
                response = await pool.handle_async_request(self._request(times))
        try:
            with self.meant():
                headers = self._read_headers(response.headers)
                unpack = unpacking(headers.get("content-encoding", ""))
            yield Arriving(self, response, headers, unpack, Bounds(ends_at=ends_at, max_bytes=max_bytes))
        finally:
            await response.aclose()

    async def more(self, source: AsyncIterator[bytes], timeout_s: float) -> bytes | None:
        """None at the end. Raises what `run` raises."""
        with self.meant():
            async with asyncio.timeout(timeout_s):
                return await anext(source, None)

    @contextmanager
    def meant(self) -> Iterator[None]:
        """What a failure means for whoever asked."""
        try:
            yield
        except (TimeoutError, httpcore2.TimeoutException):
            raise self._failed("gave no whole answer in time", "timeout") from None
        except httpcore2.ProtocolError as error:
            if getattr(next(iter(error.args), None), "error_status_hint", None) == _TOO_LARGE_HEADERS:
                raise AnswerTooLarge(f"{self._to.host} answered with too many headers") from None
            raise self._failed("broke the protocol or the connection", "connection_broken") from None
        except (httpcore2.NetworkError, ssl.SSLError, OSError):
            raise self._failed("could not be reached, or broke the connection", "connection_broken") from None
        except BadEncoding:
            raise OutcomeUnknown(f"{self._to.host} sent a body that cannot be unpacked", "bad_encoding") from None

    def _failed(self, what: str, code: str) -> TryLater | OutcomeUnknown:
        """Whether anything went out decides who has to find out what became of it."""
        return (OutcomeUnknown if self._is_sent else TryLater)(f"{self._to.host} {what}", code)

    def _request(self, times: Times) -> httpcore2.Request:
        to = self._to
        return httpcore2.Request(
            self._method,
            httpcore2.URL(scheme=to.scheme.encode(), host=to.host.encode(), port=to.port, target=to.target),
            headers=self._headers,
            content=self._body,
            extensions={"timeout": times.extension(), "trace": self._trace},
        )

    async def _trace(self, name: str, _: object) -> None:
        if name == _SENDING:
            self._is_sent = True

    async def _read(self, response: httpcore2.Response, max_bytes: int) -> HttpAnswer:
        headers = self._read_headers(response.headers)
        size = headers.get("content-length", "")
        if self._method != "HEAD" and size.isascii() and size.isdigit() and int(size[:20]) > max_bytes:
            raise self.too_large(max_bytes)
        unpack = unpacking(headers.get("content-encoding", ""))
        body = bytearray()
        received = 0
        async for data in response.aiter_stream():
            received += len(data)
            for piece in unpack.feed(data):
                body += piece
                if max(len(body), received) > max_bytes:
                    raise self.too_large(max_bytes)
        unpack.end()
        return HttpAnswer(status=response.status, headers=headers, body=bytes(body))

    def _read_headers(self, pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        found = list(pairs)
        if len(found) > MAX_ANSWER_HEADERS or sum(map(_size, found)) > MAX_ANSWER_HEADER_BYTES:
            raise AnswerTooLarge(f"{self._to.host} answered with too many headers")
        joined: dict[str, str] = {}
        for raw_name, raw_value in found:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    def too_large(self, max_bytes: int) -> AnswerTooLarge:
        return AnswerTooLarge(f"{self._to.host} answered with more than {max_bytes} bytes")


class Bounds(Struct, frozen=True, kw_only=True):
    """Of a whole answer. `ends_at` is on the loop's clock."""

    ends_at: float
    max_bytes: int


class Arriving:
    """An answer whose body is still on its way."""

    def __init__(
        self,
        exchange: Exchange,
        response: httpcore2.Response,
        headers: dict[str, str],
        unpack: Plain | Packed,
        bounds: "Bounds",
    ) -> None:
        self.status = response.status
        self.headers = headers
        self._exchange = exchange
        self._source = aiter(response.aiter_stream())
        self._unpack = unpack
        self._left = bounds.max_bytes
        self._ends_at = bounds.ends_at

    async def piece(self, timeout_s: float) -> bytes | None:
        """What has come, unpacked; None once the body has ended as HTTP says. Raises what `Exchange.run` raises."""
        rest_s = max(self._ends_at - asyncio.get_running_loop().time(), 0.0)
        data = await self._exchange.more(self._source, min(timeout_s, rest_s))
        if data is None:
            with self._exchange.meant():
                self._unpack.end()
            return None
        unpacked = bytearray()
        with self._exchange.meant():
            for piece in self._unpack.feed(data):
                unpacked += piece
                if max(len(unpacked), len(data)) > self._left:
                    raise self._exchange.too_large(self._left)
        self._left -= max(len(unpacked), len(data))
        return bytes(unpacked)


def _size(pair: tuple[bytes, bytes]) -> int:
    return len(pair[0]) + len(pair[1])
