"""Server-sent events, read piece by piece with a bound on everything. Source: the HTML standard, 9.2.6."""

import re

from msgspec import Struct

MAX_LINE_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 2 * 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024

_END = re.compile(rb"[\r\n]")


class SseEvent(Struct, frozen=True):
    name: str
    data: str


class TooMuch(Exception):
    """A line, an event or the whole is longer than anybody means."""


class SseReader:
    """Feed it what arrives, in any pieces. An event counts once its empty line is there; one without is not."""

    def __init__(
        self,
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        self._max_line, self._max_event, self._max_total = max_line_bytes, max_event_bytes, max_total_bytes
        self._line = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._event_bytes = 0
        self._total = 0
        self._after_return = False
        self._is_first = True

    def feed(self, received: bytes) -> list[SseEvent]:
        """Raises TooMuch, UnicodeDecodeError."""
        self._total += len(received)
        if self._total > self._max_total:
            raise TooMuch
        if self._after_return and received:
            received = received.removeprefix(b"\n")
            self._after_return = False
        events: list[SseEvent] = []
        start = 0
        while (end := _line_end(received, start)) >= 0:
            self._line += received[start:end]
            start = end + 1
            if received[end] == 0x0D:
                if start == len(received):
                    self._after_return = True
                elif received[start] == 0x0A:
                    start += 1
            events += self._take_line()
        self._line += received[start:]
        if len(self._line) > self._max_line:
            raise TooMuch
        return events

    @property
    def is_between_events(self) -> bool:
        return not self._line and not self._data and not self._name

    def _take_line(self) -> list[SseEvent]:
        if len(self._line) > self._max_line:
            raise TooMuch
        line = self._line.decode()
        self._line.clear()
        if self._is_first:
            line, self._is_first = line.removeprefix("\ufeff"), False
        if not line:
            return self._dispatch()
        self._event_bytes += len(line)
        if self._event_bytes > self._max_event:
            raise TooMuch
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        return []

    def _dispatch(self) -> list[SseEvent]:
        found = [SseEvent(self._name or "message", "\n".join(self._data))] if self._data else []
        self._name, self._data, self._event_bytes = "", [], 0
        return found


def _line_end(data: bytes, start: int) -> int:
    found = _END.search(data, start)
    return found.start() if found else -1


def sse(name: str, data: bytes) -> bytes:
    """One event; `data` is one line. No name is written for the usual one."""
    head = b"" if name in ("", "message") else b"event: " + name.encode() + b"\n"
    return head + b"data: " + data + b"\n\n"
