"""Serves an ASGI application until cancelled: requests under way are finished, streams are told to end themselves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fairlead.adapters.written_together import WrittenTogether

MAX_CONNECTIONS = 2_000
KEEP_ALIVE_S = 30


class Connection(HttpToolsProtocol):
    """The head of an answer and its body leave together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is served by streams
        super().connection_made(WrittenTogether(transport))


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the program's business: it cancels us."""
        yield


async def serve(app: Any, host: str, port: int, closing: asyncio.Event, grace_s: int) -> None:
    """`closing` is set first, so that open streams end; what is not done within `grace_s` is cut off."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        closing.set()
        server.should_exit = True
        await serving
        raise
