"""The other side of tool calls: an HTTP service of its own that counts every effect, as a bank or a post office would.

`python -m tests.support.counterpart PORT [SLOW_MS]`. It is never killed by a test, so what it counted is what happened.
Each answer to a POST is late by up to SLOW_MS: the time in which a caller can die between effect and answer. One about
a reference that begins with `held-` and the name of the collection is not given at all the first time: whoever asked
can only die. It ends when its standard input does, so that it does not outlive its maker.
"""

import json
import os
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Lock, Thread
from typing import Any

HELD_S = 60.0


class Books:
    """`payments` by idempotency key; `letters` and `shouts` by reference, with every copy ever sent; `stamps` by
    reference, with how often they were put there; `refunds` in their order, one a key; `held` is what got no answer."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.payments: dict[str, dict[str, Any]] = {}
        self.letters: dict[str, list[int]] = {}
        self.shouts: dict[str, list[int]] = {}
        self.stamps: dict[str, int] = {}
        self.refunds: dict[str, int] = {}
        self.held: list[str] = []
        self.numbered = 0
        self.news = Condition(self.lock)

    def number(self) -> int:
        self.numbered += 1
        return self.numbered


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    books = Books()
    slow_ms = 0

    def do_GET(self) -> None:
        _, collection, *key = self.path.split("/")
        with self.books.lock:
            if collection == "held":
                wanted = int(key.pop())
                self.books.news.wait_for(lambda: len(self.books.held) >= wanted, HELD_S)
            kept: Any = getattr(self.books, collection)
            found = kept if not key else kept.get(key[0])
            if key and collection == "letters" and found:
                found = {"number": found[0]}
            encoded = json.dumps(found).encode()
        self._answer(encoded)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) < int(self.headers["Content-Length"]):
            return  # the caller died while it asked
        asked = json.loads(body)
        if self.path == "/refunds":
            self._refund(asked["number"])
            return
        collection = self.path.removeprefix("/")
        with self.books.lock:
            if collection == "payments":
                made = self._pay(asked)
            elif collection == "stamps":
                self.books.stamps[asked["reference"]] = self.books.stamps.get(asked["reference"], 0) + 1
                made = {"number": 1}
            else:
                number = self.books.number()
                getattr(self.books, collection).setdefault(asked["reference"], []).append(number)
                made = {"number": number}
        self._hold(collection, asked["reference"])
        time.sleep(random.uniform(0, self.slow_ms) / 1000)
        self._answer(json.dumps(made).encode())

    def _hold(self, collection: str, reference: str) -> None:
        with self.books.lock:
            is_held = reference.startswith(f"held-{collection}") and collection not in self.books.held
            if is_held:
                self.books.held.append(collection)
                self.books.news.notify_all()
        if is_held:
            time.sleep(HELD_S)

    def _pay(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = self.headers["Idempotency-Key"]
        if key not in self.books.payments:
            self.books.payments[key] = {**asked, "number": self.books.number()}
        return self.books.payments[key]

    def _refund(self, number: int) -> None:
        """What is `kept…` is not given back."""
        with self.books.lock:
            paid = next(each for each in self.books.payments.values() if each["number"] == number)
            kept = paid["reference"].startswith("kept")
            if not kept:
                self.books.refunds.setdefault(self.headers["Idempotency-Key"], number)
        self._hold("refunds", paid["reference"])
        self._answer(b"{}", 409 if kept else 200)

    def _answer(self, encoded: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class calls it so
        """Quiet: a test prints what it found, not each request."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers are killed here all the time; anything else is a fault of this service."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _end_with_maker() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    Handler.slow_ms = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    Thread(target=_end_with_maker, daemon=True).start()
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    print(server.server_address[1], flush=True)  # noqa: T201  # the parent reads the port
    server.serve_forever()


if __name__ == "__main__":
    main()
