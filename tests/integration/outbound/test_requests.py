"""What goes out, what comes back, and which connections are kept."""

import asyncio
from collections.abc import Mapping

import pytest
from fairlead_sdk import Auth, AuthKind, Credential
from fairlead_sdk.errors import NeedsReconnect, Refused
from fairlead_sdk.outbound import Http, HttpAnswer

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import Outbound, WayOut
from tests.support.flaky_http import (
    HEAD,
    Asked,
    FlakyServer,
    raw,
    reply,
)
from tests.support.outbound import SECRET, met, way


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


async def test_a_key_in_the_query_replaces_any_other_of_its_name(
    server: FlakyServer, outbound: GuardedOutbound
) -> None:
    auth = Auth(kind=AuthKind.API_KEY, query="api key")
    http = outbound.http(way(server, auth=auth, credential=Credential(secret="a&b=c")))
    await http.send("GET", server.url("/x?q=1&api+key=mine&api%20key=too"))
    await http.send("GET", server.url("/x"))
    await http.send("GET", server.url("/x?q=1"), authorized=False)
    assert [asked.target for asked in server.asked] == [
        "/x?q=1&api%20key=a%26b%3Dc",
        "/x?api%20key=a%26b%3Dc",
        "/x?q=1",
    ]
    assert "authorization" not in server.asked[0].headers


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


async def test_without_an_owner_no_connection_is_kept(server: FlakyServer, outbound: GuardedOutbound) -> None:
    await _twice(outbound, way(server, owner=None), way(server, owner=None), server.url("/"))
    assert [asked.connection for asked in server.asked] == [1, 2]
