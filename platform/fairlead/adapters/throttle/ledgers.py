"""Where the ledgers of limits are: one small document for each, changed by whoever read its newest revision."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Page(NamedTuple):
    """A ledger as it was stored. Revision 0: it never was, or has lapsed."""

    revision: int
    body: bytes


class Ledgers(Protocol):
    """Each method raises Unavailable when the engine does not answer."""

    async def now_ms(self) -> int:
        """By the engine's clock, the same for all processes."""

    async def read(self, key: str) -> Page: ...

    async def write(self, key: str, body: bytes, revision: int) -> int | None:
        """Its new revision; None when the ledger is not at `revision` any more."""


class MemoryLedgers:
    """For unit tests. One of these is what several processes share."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._pages: dict[str, Page] = {}

    async def now_ms(self) -> int:
        return int(self._steady() * 1_000)

    async def read(self, key: str) -> Page:
        return self._pages.get(key, Page(0, b""))

    async def write(self, key: str, body: bytes, revision: int) -> int | None:
        if self._pages.get(key, Page(0, b"")).revision != revision:
            return None
        self._pages[key] = Page(revision + 1, body)
        return revision + 1
