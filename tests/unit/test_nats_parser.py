"""What nats-server sends is read alike however it is cut into pieces, and as the client library reads it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from fairlead.adapters.nats_parser import MAX_LINE_BYTES, SwiftParser

Heard = list[tuple[Any, ...]]
HEADERS = b"NATS/1.0 503\r\nNats-Sequence: 7\r\n\r\n"


class Client:
    """Whatever a parser calls is kept."""

    def __init__(self) -> None:
        self.heard: Heard = []

    def hear(self, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self.heard.append((sid, subject, reply, headers, body))

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.hear(sid, subject, reply, headers or b"", data)

    async def _process_ping(self) -> None:
        self.heard.append(("ping",))

    async def _process_pong(self) -> None:
        self.heard.append(("pong",))

    async def _process_info(self, said: dict[str, Any]) -> None:
        self.heard.append(("info", said))

    async def _process_err(self, said: str) -> None:
        self.heard.append(("err", said))


def message(subject: bytes, reply: bytes, headers: bytes, body: bytes) -> bytes:
    parts = [subject, b"12", *([reply] if reply else [])]
    sizes = [b"%d" % len(headers), b"%d" % (len(headers) + len(body))] if headers else [b"%d" % len(body)]
    return b" ".join([b"HMSG" if headers else b"MSG", *parts, *sizes]) + b"\r\n" + headers + body + b"\r\n"


TOKENS = st.binary(min_size=1, max_size=6).map(lambda raw: raw.hex().encode())
MESSAGES = st.builds(
    message, TOKENS, st.sampled_from([b"", b"$JS.ACK.a.b"]), st.sampled_from([b"", HEADERS]), st.binary(max_size=40)
)
OTHERS = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b'INFO {"a":1}\r\n', b"-ERR 'slow consumer'\r\n"])


def read_by(parser: Parser, client: Client, pieces: list[bytes]) -> Heard:
    async def read() -> None:
        for piece in pieces:
            await parser.parse(piece)

    asyncio.run(read())
    return client.heard


@given(st.lists(MESSAGES | OTHERS, max_size=8), st.lists(st.integers(1, 60), min_size=1))
def test_pieces_of_any_size_are_read_as_the_library_reads_the_whole(said: list[bytes], sizes: list[int]) -> None:
    whole, pieces, at = b"".join(said), list[bytes](), 0
    while at < len(whole):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(whole[at : at + size])
        at += size
    ours, theirs = Client(), Client()
    assert read_by(SwiftParser(ours, ours), ours, pieces) == read_by(Parser(theirs), theirs, [whole])


@pytest.mark.parametrize(
    "said",
    [
        b"MSG a 1\r\n",
        b"MSG a 1 b c 4\r\n",
        b"MSG a x 4\r\n",
        b"HMSG a 1 9 4\r\n",
        b"HMSG a 1 -4 4\r\n",
        b"MUSIC a 1 4\r\n",
        b"HELLO\r\n",
        b"\r\n",
    ],
)
def test_what_is_no_protocol_is_refused(said: bytes) -> None:
    client = Client()
    with pytest.raises(ProtocolError):
        read_by(SwiftParser(client, client), client, [said])
    assert client.heard == []


def test_a_line_without_end_is_not_gathered_for_ever() -> None:
    client = Client()
    with pytest.raises(ProtocolError):
        read_by(SwiftParser(client, client), client, [b"INFO " + b"x" * MAX_LINE_BYTES])


def test_what_was_half_read_when_the_connection_ended_is_forgotten() -> None:
    client = Client()
    parser = SwiftParser(client, client)
    read_by(parser, client, [b"MSG a 1 4\r\nab"])
    parser.reset()
    assert read_by(parser, client, [b"PING\r\n"]) == [("ping",)]


def test_what_came_after_a_line_that_ended_the_connection_is_not_taken_for_the_next_ones() -> None:
    class Ending(Client):
        async def _process_err(self, said: str) -> None:
            parser.reset()
            await super()._process_err(said)

    client = Ending()
    parser = SwiftParser(client, client)
    pieces = [b"-ERR 'stale'\r\nMSG a 1 4\r\nab", b"PING\r\n"]
    assert read_by(parser, client, pieces) == [("err", "'stale'"), ("ping",)]
