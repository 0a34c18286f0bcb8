"""An HTTP server that misbehaves byte by byte as it is told, and keeps what it was sent."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

from msgspec import Struct

MAX_HEAD = 256 * 1024
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


class Asked(Struct, frozen=True):
    """`connection` counts from 1: the same number came over the same connection."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Wire = asyncio.StreamWriter
Answer = Callable[[Wire, Asked], Awaitable[None]]


class FlakyServer:
    """`answers` are by path; any other path is answered 200 with an empty object."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        self.released = asyncio.Event()  # what slow answers wait for, so that no test sleeps for them
        self.host, self.port = "", 0
        self._writers: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def at(cls, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        server = cls()
        listening = await asyncio.start_server(server._connected, host, 0, limit=MAX_HEAD, ssl=tls)
        server.host, server.port = host, listening.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            server.released.set()
            listening.close()
            for writer in server._writers:
                writer.transport.abort()
            await asyncio.gather(*server._tasks, return_exceptions=True)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.authority}{path}"

    def _connected(self, reader: asyncio.StreamReader, writer: Wire) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: Wire) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                asked = await _read(reader, number)
                self.asked.append(asked)
                await self.answers.get(asked.target.partition("?")[0], _empty)(writer, asked)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()


async def _read(reader: asyncio.StreamReader, connection: int) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body, connection)


def reply(status: int = 200, body: bytes = b"{}", **headers: str) -> Answer:
    """A whole answer; `content_type="text/html"` is a header of it."""

    async def answer(writer: Wire, _: Asked) -> None:
        named = {"content-type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
        named.setdefault("content-length", str(len(body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode("latin-1") + body)

    return answer


def raw(*pieces: bytes, close: bool = True) -> Answer:
    """Exactly these bytes."""

    async def answer(writer: Wire, _: Asked) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    return answer


def stalled(server: FlakyServer, *pieces: bytes) -> Answer:
    """These bytes, and then nothing until the server is released."""

    async def answer(writer: Wire, _: Asked) -> None:
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        await server.released.wait()
        writer.close()

    return answer


async def reset(writer: Wire, _: Asked) -> None:
    """The connection breaks once the request is there."""
    writer.transport.abort()


def reset_after(piece: bytes) -> Answer:
    async def answer(writer: Wire, _: Asked) -> None:
        writer.write(piece)
        await writer.drain()
        writer.transport.abort()

    return answer


def endless(head: bytes, piece: bytes) -> Answer:
    """One piece after the other, for as long as somebody reads."""

    async def answer(writer: Wire, _: Asked) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()

    return answer


def gzip_bomb(size_bytes: int) -> bytes:
    """Zeros: a thousandth of what they become."""
    return gzip.compress(bytes(size_bytes), 9, mtime=0)  # the same bytes in every process


def deflated(body: bytes, *, with_header: bool) -> bytes:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS if with_header else -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


_empty = reply()
