"""Messages out of what the server sends, line by line and without copies but one.

The library tries patterns at the front of a buffer that it cuts for every piece. Most of what comes is messages, so
they are told by their first letter here; whatever else a line says, the library still reads.
"""

from typing import Any, Protocol

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

MAX_LINE_BYTES = 1024 * 1024  # what a server says of itself names every server of its cluster
_END = b"\r\n"
_MSG, _HMSG = ord("M"), ord("H")


class Hears(Protocol):
    def hear(self, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """One message."""


class SwiftParser(Parser):
    def __init__(self, client: Any, hears: Hears) -> None:
        super().__init__(client)
        self._hears = hears

    def reset(self) -> None:
        super().reset()
        self._held = bytearray()  # the beginning of what has not come as a whole; another with each connection
        self._wanted = 0  # so many bytes are needed to go on

    async def parse(self, data: bytes = b"") -> None:
        """Raises ProtocolError."""
        held = self._held
        if held:
            held += data
            if len(held) < self._wanted:
                return
            data = bytes(held)
            held.clear()
        start, self._wanted = 0, 0
        while (end := data.find(_END, start)) >= 0:
            if data[start] in (_MSG, _HMSG):
                after = self._message(data, start, end)
                if after is None:
                    break
                start = after
            else:
                await self._other(data[start : end + len(_END)])
                if self._held is not held:  # the connection ended over it
                    return
                start = end + len(_END)
        if start < len(data):
            held += data[start:]
            if not self._wanted and len(held) > MAX_LINE_BYTES:
                raise ProtocolError("nats: a line without end")

    def _message(self, data: bytes, start: int, end: int) -> int | None:
        """Where it ends; None where it has not come as a whole."""
        operation, *said = data[start:end].split()
        has_headers = operation == b"HMSG"
        try:
            subject, sid, *reply, size = said
            headers_size = int(reply.pop()) if has_headers else 0
            (answer_to,) = reply or (b"",)
            number, body_end = int(sid), end + len(_END) + int(size)
        except ValueError:
            raise ProtocolError("nats: malformed message") from None
        if (operation != b"MSG" and not has_headers) or headers_size < 0 or int(size) < headers_size:
            raise ProtocolError("nats: malformed message")
        after = body_end + len(_END)
        if after > len(data):
            self._wanted = after - start
            return None
        body_start = end + len(_END) + headers_size
        self._hears.hear(number, subject, answer_to, data[end + len(_END) : body_start], data[body_start:body_end])
        return after

    async def _other(self, line: bytes) -> None:
        await super().parse(line)
        if self.buf:
            raise ProtocolError("nats: unknown protocol")
