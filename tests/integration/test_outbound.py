"""The guarded way out, against a server that misbehaves and a name server that lies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from fairlead_sdk import Auth, AuthKind, Credential
from fairlead_sdk.errors import AnswerTooLarge, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_sdk.outbound import Http, HttpAnswer

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import Outbound, WayOut
from tests.support.flaky_http import (
    Asked,
    FlakyServer,
    deflated,
    endless,
    gzip_bomb,
    raw,
    reply,
    reset,
    reset_after,
    stalled,
)
from tests.support.name_server import AskingResolver, NameServer

SECRET = "sk_a-secret-that-nobody-sees"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
Send = Callable[..., Any]


@pytest.fixture
async def server() -> AsyncIterator[FlakyServer]:
    async with FlakyServer.at() as running:
        yield running


@pytest.fixture
async def outbound(server: FlakyServer) -> AsyncIterator[GuardedOutbound]:
    async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[server.authority]) as running:
        yield running


def way(server: FlakyServer, **changed: Any) -> WayOut:
    return WayOut(**{"owner": "con_a", "egress": (server.authority,), "timeout_s": 5.0, **changed})


async def met(asking: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    return raised.value


# What goes out and what comes back


async def test_an_answer_comes_back_whatever_its_status(server: FlakyServer, outbound: GuardedOutbound) -> None:
    server.answers["/teapot"] = reply(418, b'{"short": true}', x_one="1")
    http = outbound.http(way(server))
    assert isinstance(outbound, Outbound)
    assert isinstance(http, Http)
    answer = await http.send("POST", server.url("/teapot?a=b"), headers={"X-Two": "2"}, body=b"water")
    assert (answer.status, answer.body, answer.headers["x-one"]) == (418, b'{"short": true}', "1")
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.headers["x-two"], asked.body) == ("POST", "/teapot?a=b", "2", b"water")
    assert asked.headers["host"] == server.authority


async def test_repeated_headers_are_joined_in_their_order(server: FlakyServer, outbound: GuardedOutbound) -> None:
    server.answers["/"] = raw(HEAD + b"Link: <a>\r\nlink: <b>\r\ncontent-length: 0\r\n\r\n")
    assert (await outbound.http(way(server)).send("GET", server.url("/"))).headers["link"] == "<a>, <b>"


@pytest.mark.parametrize(
    ("auth", "username", "name", "value"),
    [
        (Auth(kind=AuthKind.OAUTH2), "", "authorization", f"Bearer {SECRET}"),
        (Auth(kind=AuthKind.API_KEY, header="X-Api-Key", prefix=""), "", "x-api-key", SECRET),
        (Auth(kind=AuthKind.API_KEY), "", "authorization", f"Bearer {SECRET}"),
        (
            Auth(kind=AuthKind.BASIC),
            "ada",
            "authorization",
            "Basic YWRhOnNrX2Etc2VjcmV0LXRoYXQtbm9ib2R5LXNlZXM=",
        ),
    ],
)
async def test_the_credential_goes_where_the_manifest_says_and_over_the_connectors_own(
    server: FlakyServer, outbound: GuardedOutbound, auth: Auth, username: str, name: str, value: str
) -> None:
    http = outbound.http(way(server, auth=auth, credential=Credential(secret=SECRET, username=username)))
    await http.send("GET", server.url("/"), headers={name.title(): "mine"})
    await http.send("GET", server.url("/"), authorized=False)
    assert [asked.headers.get(name) for asked in server.asked] == [value, None]


async def test_a_credential_that_no_header_may_hold_needs_a_person(
    server: FlakyServer, outbound: GuardedOutbound
) -> None:
    credential = Credential(secret=f"{SECRET}\r\nx-admin: yes")
    error = await met(
        outbound.http(way(server, auth=Auth(kind=AuthKind.OAUTH2), credential=credential)).send("GET", server.url("/"))
    )
    assert isinstance(error, NeedsReconnect)
    assert SECRET not in str(error)
    assert server.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nx-admin: yes"},
        {"x": "a\nb"},
        {"x": "a\x00"},
        {"x": "€"},
        {"x y": "a"},
        {"x\r\ny": "a"},
        {"": "a"},
        {"Host": "other.example"},
        {"Content-Length": "0"},
        {"transfer-encoding": "chunked"},
        {"Connection": "upgrade"},
        {"accept-encoding": "br"},
        {"Proxy-Authorization": "x"},
        {f"x-{n}": "a" for n in range(65)},
        {"x": "a" * 33_000},
    ],
)
async def test_headers_that_could_change_the_message_are_refused(
    server: FlakyServer, outbound: GuardedOutbound, headers: Mapping[str, str]
) -> None:
    error = await met(outbound.http(way(server)).send("GET", server.url("/"), headers=headers))
    assert isinstance(error, Refused)
    assert server.connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET /x HTTP/1.1\r\n", ""])
async def test_a_method_that_is_none_is_refused(server: FlakyServer, outbound: GuardedOutbound, method: str) -> None:
    assert isinstance(await met(outbound.http(way(server)).send(method, server.url("/"))), Refused)


async def test_proxies_of_the_environment_are_not_used_and_cookies_not_kept(
    server: FlakyServer, outbound: GuardedOutbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["/"] = reply(set_cookie="session=1; Path=/")
    http = outbound.http(way(server))
    await http.send("GET", server.url("/"))
    await http.send("GET", server.url("/"))
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, None]


# Where nobody may go


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "localhost",
        "LOCALHOST.",
        "2130706433",
        "0x7f000001",
        "0x7f.0x0.0x0.0x1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::1]",
        "[fc00::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "[fd00:ec2::254]",
    ],
)
async def test_no_spelling_of_a_private_address_is_reached_even_when_it_is_declared(host: str) -> None:
    """By the machine's own resolver, which understands more spellings than anybody would list."""
    async with FlakyServer.at("0.0.0.0") as server, GuardedOutbound(plain_http=[f"{host}:{server.port}"]) as outbound:
        url = f"http://{host}:{server.port}/"
        http = outbound.http(
            WayOut(owner="con_a", egress=(f"{host}:{server.port}", "{url}"), timeout_s=5, config={"url": url})
        )
        error = await met(http.send("GET", url))
        assert (type(error), error.code) == (Refused, "egress_denied")
        assert server.connections == 0


async def test_only_declared_hosts_are_reached_and_only_they_see_the_credential(
    server: FlakyServer, outbound: GuardedOutbound
) -> None:
    async with FlakyServer.at() as other:
        http = outbound.http(way(server, auth=Auth(kind=AuthKind.OAUTH2), credential=Credential(secret=SECRET)))
        error = await met(http.send("GET", other.url("/")))
        assert (type(error), error.code) == (Refused, "egress_denied")
        assert other.connections == 0


async def test_a_host_is_spoken_to_without_tls_only_where_the_installation_lists_it(server: FlakyServer) -> None:
    async with GuardedOutbound(private_networks=["127.0.0.1/32"]) as outbound:
        error = await met(outbound.http(way(server)).send("GET", server.url("/")))
        assert (type(error), error.code) == (Refused, "egress_denied")
        assert server.connections == 0


async def test_a_redirect_is_an_answer_and_is_not_followed(server: FlakyServer, outbound: GuardedOutbound) -> None:
    async with FlakyServer.at() as other:
        for status in (301, 302, 303, 307, 308):
            server.answers["/"] = reply(status, b"", location=other.url("/"))
            answer = await outbound.http(way(server)).send("GET", server.url("/"))
            assert (answer.status, answer.headers["location"]) == (status, other.url("/"))
        assert other.connections == 0


async def test_a_name_that_moves_to_a_private_address_is_not_followed_there(server: FlakyServer) -> None:
    """The first answer may be reached, the second may not: only what was checked is ever connected to."""
    async with NameServer.start() as names:
        names.answers["rebind.example"] = [("127.0.0.1",), ("127.0.0.2",)]
        authority = f"rebind.example:{server.port}"
        server.answers["/"] = reply(connection="close")
        async with (
            FlakyServer.at("127.0.0.2") as private,
            GuardedOutbound(
                private_networks=["127.0.0.1/32"], plain_http=[authority], resolver=AskingResolver(names.port)
            ) as outbound,
        ):
            http = outbound.http(way(server, egress=(authority,)))
            assert (await http.send("GET", f"http://{authority}/")).status == 200
            assert server.asked[0].headers["host"] == authority
            assert names.questions == ["rebind.example"]  # asked once: nothing is looked up after the check
            error = await met(http.send("GET", f"http://{authority}/"))
            assert (type(error), error.code) == (Refused, "egress_denied")
            assert (len(server.asked), private.connections) == (1, 0)


async def test_one_private_address_among_public_ones_closes_the_name(server: FlakyServer) -> None:
    async with NameServer.start() as names:
        names.answers["mixed.example"] = [("127.0.0.1", "10.0.0.1")]
        authority = f"mixed.example:{server.port}"
        async with GuardedOutbound(
            private_networks=["127.0.0.1/32"], plain_http=[authority], resolver=AskingResolver(names.port)
        ) as outbound:
            error = await met(outbound.http(way(server, egress=(authority,))).send("GET", f"http://{authority}/"))
            assert error.code == "egress_denied"
            assert server.connections == 0


async def test_a_dead_address_is_passed_over_for_the_next(server: FlakyServer) -> None:
    async with NameServer.start() as names:
        names.answers["two.example"] = [("127.0.0.9", "127.0.0.1")]
        authority = f"two.example:{server.port}"
        async with GuardedOutbound(
            private_networks=["127.0.0.0/24"], plain_http=[authority], resolver=AskingResolver(names.port)
        ) as outbound:
            answer = await outbound.http(way(server, egress=(authority,))).send("GET", f"http://{authority}/")
            assert answer.status == 200


# Nothing was sent


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


# Sent, and no whole answer


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


# More than anybody asked for


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, bytes(1001)),
        raw(HEAD + b"\r\n" + bytes(1001)),
        reply(200, b"", content_length="99999999999999999999"),
        reply(200, gzip_bomb(1001), content_encoding="gzip"),
        reply(200, gzip_bomb(50_000_000), content_encoding="gzip"),
        reply(200, deflated(bytes(50_000_000), with_header=False), content_encoding="deflate"),
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


# Kept connections


async def _twice(outbound: GuardedOutbound, first: WayOut, second: WayOut, url: str) -> list[HttpAnswer]:
    return [await outbound.http(first).send("GET", url), await outbound.http(second).send("GET", url)]


async def test_one_owner_keeps_a_connection_and_two_owners_share_none(
    server: FlakyServer, outbound: GuardedOutbound
) -> None:
    await _twice(outbound, way(server), way(server), server.url("/"))
    await _twice(outbound, way(server, owner="con_b"), way(server, owner="con_c"), server.url("/"))
    assert [asked.connection for asked in server.asked] == [1, 1, 2, 3]


async def test_an_answer_left_in_a_connection_is_not_read_by_another_owner(
    server: FlakyServer, outbound: GuardedOutbound
) -> None:
    async def two_answers(writer: asyncio.StreamWriter, _: Asked) -> None:
        for body in (b"1", b"2"):
            writer.write(HEAD + b"content-length: 1\r\n\r\n" + body)

    server.answers["/poison"] = two_answers
    await outbound.http(way(server)).send("GET", server.url("/poison"))
    answer = await outbound.http(way(server, owner="con_b")).send("GET", server.url("/"))
    assert answer.body == b"{}"


async def test_more_owners_than_lanes_close_the_oldest(server: FlakyServer, outbound: GuardedOutbound) -> None:
    for number in range(140):
        await outbound.http(way(server, owner=f"con_{number}")).send("GET", server.url("/"))
    await outbound.http(way(server, owner="con_139")).send("GET", server.url("/"))
    await outbound.http(way(server, owner="con_0")).send("GET", server.url("/"))
    assert [asked.connection for asked in server.asked][-2:] == [140, 141]


# Secrets


async def test_no_error_shows_what_was_sent(server: FlakyServer, outbound: GuardedOutbound) -> None:
    """Neither by its text nor by the errors behind it."""
    credential = Credential(secret=SECRET)
    http = outbound.http(way(server, auth=Auth(kind=AuthKind.OAUTH2), credential=credential))
    server.answers["/broken"] = raw(b"nonsense " + SECRET.encode() + b"\r\n\r\n")
    for url, headers in [
        (server.url(f"/broken?token={SECRET}"), {}),
        (server.url("/"), {"x": f"{SECRET}\n"}),
        (f"http://{SECRET}@{server.authority}/", {}),
        (f"https://undeclared.example/?{SECRET}", {}),
    ]:
        error = await met(http.send("POST", url, headers=headers, body=SECRET.encode()))
        shown = [error, error.__cause__, None if error.__suppress_context__ else error.__context__]
        assert SECRET not in " ".join(map(repr, shown))
    assert SECRET not in repr(credential)
