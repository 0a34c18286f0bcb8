"""A lean HTTP client: requests of one form over connections that are kept, so that measuring costs little itself."""

import asyncio
from typing import Any

import msgspec

MAX_LINE = 64 * 1024


class Refused(Exception):
    """Any answer that is no success."""


class Http:
    """One server, one credential. As many connections as requests at once."""

    def __init__(self, url: str, key: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._head = f"Host: {self._host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, method: str, path: str, body: Any, idempotency_key: str = "") -> Any:
        """Raises Refused."""
        content = msgspec.json.encode(body)
        once = f"Idempotency-Key: {idempotency_key}\r\n" if idempotency_key else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{once}Content-Length: {len(content)}\r\n\r\n"
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        writer.write(head.encode() + content)
        status, answer = await _answer(reader)
        self._idle.append((reader, writer))
        if status >= 300:
            raise Refused(f"{status} {answer[:500]!r}")
        return msgspec.json.decode(answer)

    async def download(self, path: str) -> tuple[int, int]:
        """Bytes and lines of a streamed answer, of which nothing is kept."""
        reader, writer = await self._connect()
        writer.write(f"GET {path} HTTP/1.1\r\n{self._head}Connection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Refused(head.decode(errors="replace"))
        size = lines = 0
        while length := int(await reader.readline(), 16):  # chunked
            chunk = await reader.readexactly(length + 2)
            size, lines = size + length, lines + chunk.count(b"\n") - 1
        writer.close()
        return size, lines

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=MAX_LINE)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, found, rest = head.partition(b"content-length:")
    assert found, "answers of the API to small requests have a length"
    return int(head[9:12]), await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
