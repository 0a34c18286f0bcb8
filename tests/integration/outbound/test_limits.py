"""More than anybody asked for is cut off, before it takes room here."""

import tracemalloc
from typing import Any

import pytest
from fairlead_sdk.errors import AnswerTooLarge

from fairlead.adapters.outbound import GuardedOutbound
from tests.support.flaky_http import (
    HEAD,
    FlakyServer,
    deflated,
    endless,
    gzip_bomb,
    raw,
    reply,
)
from tests.support.outbound import met, way


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, bytes(1001)),
        raw(HEAD + b"\r\n" + bytes(1001)),
        reply(200, b"", content_length="99999999999999999999"),
        reply(200, gzip_bomb(1001), content_encoding="gzip"),
        reply(200, gzip_bomb(20_000_000), content_encoding="gzip"),
        reply(200, deflated(bytes(20_000_000), with_header=False), content_encoding="deflate"),
        endless(HEAD + b"\r\n", b"{}" * 1000),
        endless(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n{\r\n" * 1000),
        endless(HEAD + b"content-encoding: gzip\r\n\r\n", gzip_bomb(0)),
        reply(200, b"", **{f"x-{n}": "1" for n in range(128)}),
        reply(200, b"", x_long="a" * 65_536),
        endless(HEAD, b"x-many: 1\r\n"),
    ],
)
async def test_an_answer_past_the_limit_is_cut_off(server: FlakyServer, outbound: GuardedOutbound, answer: Any) -> None:
    server.answers["/"] = answer
    error = await met(outbound.http(way(server)).send("GET", server.url("/"), max_bytes=1000))
    assert (type(error), error.code) == (AnswerTooLarge, "AnswerTooLarge")


async def test_an_answer_at_the_limit_is_whole(server: FlakyServer, outbound: GuardedOutbound) -> None:
    server.answers["/"] = reply(200, bytes(1000), **{f"x-{n}": "1" for n in range(126)})
    answer = await outbound.http(way(server)).send("GET", server.url("/"), max_bytes=1000)
    assert len(answer.body) == 1000


async def test_a_request_past_the_limit_is_not_sent(server: FlakyServer, outbound: GuardedOutbound) -> None:
    body = bytes(16 * 1024 * 1024 + 1)
    assert (await met(outbound.http(way(server)).send("POST", server.url("/"), body=body))).code == "body_too_large"
    assert server.connections == 0


async def test_a_bomb_takes_no_more_room_than_the_limit(server: FlakyServer, outbound: GuardedOutbound) -> None:
    server.answers["/"] = reply(200, gzip_bomb(50_000_000), content_encoding="gzip")
    tracemalloc.start()
    try:
        error = await met(outbound.http(way(server)).send("GET", server.url("/"), max_bytes=100_000))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, AnswerTooLarge)
    assert most_bytes < 2_000_000
