"""A TCP relay that loses what it is told to lose: the network between a process and its engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65_536


class Relay:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lose_answer_with: bytes | None = None
        self._is_silent = False
        self.lost = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[tuple[Self, str]]:
        """The relay, and the URL that leads through it."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        relay = cls(parts.hostname, parts.port)
        server = await asyncio.start_server(relay._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield relay, url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}")
        finally:
            server.close()
            relay.cut()
            await asyncio.gather(*relay._tasks, return_exceptions=True)

    def lose_the_answer_with(self, marker: bytes) -> None:
        """The engine does what it is asked; its next answer that holds the marker is dropped with its connection."""
        self.lost.clear()
        self._lose_answer_with = marker

    def fall_silent(self) -> None:
        """Connections stay and carry nothing more, as when a machine stops without a word."""
        self._is_silent = True

    def cut(self) -> None:
        """Break every connection; new ones are carried."""
        self._is_silent = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            engine, to_engine = await asyncio.open_connection(self._host, self._port)
            self._writers |= {to_client, to_engine}
            for source, target, is_answer in ((client, to_engine, False), (engine, to_client, True)):
                task = asyncio.create_task(self._carry(source, target, is_answer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        to_client.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, is_answer: bool) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                if is_answer and self._lose_answer_with is not None and self._lose_answer_with in data:
                    self._lose_answer_with = None
                    self.cut()
                    self.lost.set()
                    return
                if not self._is_silent:
                    target.write(data)
                    await target.drain()
        target.close()
