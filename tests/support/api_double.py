"""A real HTTP server in this process that answers from a script, and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Reply:
    """`cut` closes the connection after the body without having sent all that was announced."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False

    @property
    def content(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else msgspec.json.encode(self.body)


Script = Sequence[Reply] | Callable[[Asked], Reply]


@dataclass
class ScriptedApi:
    url: str
    asked: list[Asked]


@contextmanager
def scripted_api(script: Script) -> Iterator[ScriptedApi]:
    """Replies in order, or whatever the function says. Running out of replies answers 500."""
    asked: list[Asked] = []
    replies = iter(()) if callable(script) else iter(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the library looks for this name
            size = int(self.headers.get("Content-Length", 0))
            request = Asked(self.command, self.path, dict(self.headers.items()), self.rfile.read(size))
            asked.append(request)
            self._send(script(request) if callable(script) else next(replies, Reply(500)))

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def _send(self, reply: Reply) -> None:
            content = reply.content
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(content) + (1 if reply.cut else 0)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = reply.cut

        def log_message(self, *_: object) -> None:
            """Nothing: the test sees what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ScriptedApi(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
