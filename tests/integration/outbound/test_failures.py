"""What a failure means for whoever asked: against a server that misbehaves byte by byte."""

import asyncio
from typing import Any

import pytest
from fairlead_sdk.errors import OutcomeUnknown, TryLater

from fairlead.adapters.outbound import GuardedOutbound
from tests.support.flaky_http import (
    HEAD,
    FlakyServer,
    deflated,
    gzip_bomb,
    raw,
    reply,
    reset,
    reset_after,
    stalled,
)
from tests.support.name_server import AskingResolver, NameServer
from tests.support.outbound import met, way


async def test_nothing_was_sent_when_nobody_listens(server: FlakyServer, outbound: GuardedOutbound) -> None:
    async with FlakyServer.at() as gone:
        authority = gone.authority
    async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[authority]) as reaching:
        error = await met(reaching.http(way(server, egress=(authority,))).send("POST", f"http://{authority}/"))
        assert (type(error), error.code) == (TryLater, "connection_broken")


async def test_nothing_was_sent_when_the_name_is_unknown(server: FlakyServer) -> None:
    async with (
        NameServer.start() as names,
        GuardedOutbound(plain_http=["gone.example"], resolver=AskingResolver(names.port)) as outbound,
    ):
        http = outbound.http(way(server, egress=("gone.example:80",)))
        assert isinstance(await met(http.send("POST", "http://gone.example/")), TryLater)


async def test_nothing_was_sent_when_the_name_server_is_silent(server: FlakyServer) -> None:
    class Silent:
        async def addresses(self, _: str) -> list[str]:
            await asyncio.Event().wait()
            raise AssertionError

    async with GuardedOutbound(plain_http=["slow.example"], resolver=Silent()) as outbound:
        http = outbound.http(way(server, egress=("slow.example:80",), timeout_s=0.1))
        error = await met(http.send("POST", "http://slow.example/"))
        assert (type(error), error.code) == (TryLater, "timeout")


async def test_nothing_is_sent_once_the_calls_time_is_over(server: FlakyServer, outbound: GuardedOutbound) -> None:
    http = outbound.http(way(server, timeout_s=0.0))
    assert isinstance(await met(http.send("POST", server.url("/"))), TryLater)
    assert isinstance(await met(outbound.http(way(server)).send("POST", server.url("/"), timeout_s=0)), TryLater)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ((), "timeout"),
        ((b"HTTP/1.1 200 OK\r\ncontent-ty",), "timeout"),
        ((HEAD + b"content-length: 10\r\n\r\n", b'{"a"'), "timeout"),
        ((HEAD + b"transfer-encoding: chunked\r\n\r\n", b'4\r\n{"a"\r\n'), "timeout"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",) * 50, "timeout"),
    ],
)
async def test_a_slow_answer_is_an_unknown_outcome(
    server: FlakyServer, outbound: GuardedOutbound, pieces: tuple[bytes, ...], code: str
) -> None:
    server.answers["/"] = stalled(server, *pieces)
    error = await met(outbound.http(way(server)).send("POST", server.url("/"), body=b"pay", timeout_s=0.2))
    assert (type(error), error.code) == (OutcomeUnknown, code)
    assert server.asked[0].body == b"pay"


@pytest.mark.parametrize(
    "answer",
    [
        reset,
        reset_after(b"HTTP/1.1 200 OK\r\n"),
        reset_after(HEAD + b"content-length: 10\r\n\r\n{"),
        raw(),
        raw(HEAD + b"content-length: 10\r\n\r\n{"),
        raw(HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\n{}"),
        raw(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"),
        raw(b"this is no HTTP\r\n\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}}"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n"),
        raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nabc"),
    ],
)
async def test_a_broken_answer_is_an_unknown_outcome(
    server: FlakyServer, outbound: GuardedOutbound, answer: Any
) -> None:
    server.answers["/"] = answer
    error = await met(outbound.http(way(server)).send("POST", server.url("/"), body=b"pay"))
    assert (type(error), error.code) == (OutcomeUnknown, "connection_broken")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"this is not gzip"),
        ("gzip", gzip_bomb(5_000)[:-6]),
        ("deflate", b"\xff\xff\xff"),
        ("deflate", deflated(b"x" * 500, with_header=True)[:-3]),
        ("br", b"\x0b\x02\x80{}\x03"),
        ("gzip, gzip", gzip_bomb(10)),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_an_unknown_outcome(
    server: FlakyServer, outbound: GuardedOutbound, encoding: str, body: bytes
) -> None:
    server.answers["/"] = reply(200, body, content_encoding=encoding)
    error = await met(outbound.http(way(server)).send("POST", server.url("/")))
    assert (type(error), error.code) == (OutcomeUnknown, "bad_encoding")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip_bomb(200_000)),
        ("x-gzip", gzip_bomb(100_000) + gzip_bomb(100_000)),
        ("deflate", deflated(bytes(200_000), with_header=True)),
        ("deflate", deflated(bytes(200_000), with_header=False)),
        ("identity", bytes(200_000)),
    ],
)
async def test_a_packed_body_is_unpacked_whole(
    server: FlakyServer, outbound: GuardedOutbound, encoding: str, body: bytes
) -> None:
    server.answers["/"] = reply(200, body, content_encoding=encoding)
    answer = await outbound.http(way(server)).send("GET", server.url("/"), max_bytes=200_000)
    assert answer.body == bytes(200_000)
