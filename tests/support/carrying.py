"""A port on this machine that leads somewhere else: to a server on a socket in a folder, or one that knows no TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def carried_to(connect: Callable[[], Awaitable[Ends]], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port. `tls` is spoken to clients, whatever lies behind."""
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await connect()
        writers.update((to_client, to_server))
        tasks.update(asyncio.create_task(_carry(*ends)) for ends in ((client, to_server), (server, to_client)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()
