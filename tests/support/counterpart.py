"""The other side of tool calls: an HTTP service of its own that counts every effect, as a bank or a post office would.

`python -m tests.support.counterpart PORT`. It is never killed by a test, so what it counted is what happened.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any


class Books:
    """`payments` by idempotency key; `letters` by reference, with every copy ever sent."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.payments: dict[str, dict[str, Any]] = {}
        self.letters: dict[str, list[int]] = {}
        self.numbered = 0

    def number(self) -> int:
        self.numbered += 1
        return self.numbered


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    books = Books()

    def do_GET(self) -> None:
        _, collection, *key = self.path.split("/")
        with self.books.lock:
            held: Any = self.books.payments if collection == "payments" else self.books.letters
            found = held if not key else held.get(key[0])
            if key and collection == "letters" and found:
                found = {"number": found[0]}
            self._answer(found)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.books.lock:
            if self.path == "/payments":
                made = self._pay(asked)
            else:
                number = self.books.number()
                self.books.letters.setdefault(asked["reference"], []).append(number)
                made = {"number": number}
            self._answer(made)

    def _pay(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = self.headers["Idempotency-Key"]
        if key not in self.books.payments:
            self.books.payments[key] = {**asked, "number": self.books.number()}
        return self.books.payments[key]

    def _answer(self, body: Any) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class calls it so
        """Quiet: a test prints what it found, not each request."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main() -> None:
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    print(server.server_address[1], flush=True)  # noqa: T201  # the parent reads the port
    server.serve_forever()


if __name__ == "__main__":
    main()
