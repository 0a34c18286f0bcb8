"""A DNS server, and a resolver that asks it.

Each question for a name takes the next of its answers; the last is for good.
"""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self, cast

_A, _AAAA = 1, 28
_HEADER = struct.Struct("!6H")


class NameServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: dict[str, list[Sequence[str]]] = {}
        self.questions: list[str] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        server.port = transport.get_extra_info("sockname")[1]
        try:
            yield server
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, asked, question = _question(data)
        self.questions.append(name)
        series = self.answers.get(name, [()])
        addresses = [ipaddress.ip_address(text) for text in (series.pop(0) if len(series) > 1 else series[0])]
        records = [
            b"\xc0\x0c" + struct.pack("!HHIH", asked, 1, 0, len(address.packed)) + address.packed
            for address in addresses
            if len(address.packed) == (4 if asked == _A else 16)
        ]
        number = data[:2]
        assert self._transport is not None
        flags = struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0)
        self._transport.sendto(number + flags + question + b"".join(records), addr)


def _question(data: bytes) -> tuple[str, int, bytes]:
    at, labels = _HEADER.size, []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), int.from_bytes(data[at + 1 : at + 3], "big"), data[_HEADER.size : at + 5]


class AskingResolver:
    """IPv4 only. No answer is kept."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def addresses(self, host: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Waiting(answered), remote_addr=("127.0.0.1", self._port)
        )
        labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in host.split("."))
        transport.sendto(_HEADER.pack(7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _A, 1))
        try:
            return _addresses(await answered)
        finally:
            transport.close()


class _Waiting(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        self._answered.set_result(data)


def _addresses(data: bytes) -> list[str]:
    count = _HEADER.unpack_from(data)[3]
    _, _, question = _question(data)
    at, found = _HEADER.size + len(question), []
    for _ in range(count):
        length = int.from_bytes(data[at + 10 : at + 12], "big")
        found.append(str(ipaddress.ip_address(data[at + 12 : at + 12 + length])))
        at += 12 + length
    if not found:
        raise OSError
    return found
