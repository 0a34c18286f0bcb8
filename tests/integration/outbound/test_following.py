"""Redirects that a tool follows: each hop is checked like a first request, and credentials stay where they belong."""

from typing import Any

import pytest
from fairlead_sdk import Auth, AuthKind, Credential
from fairlead_sdk.errors import Refused
from fairlead_sdk.redirects import MAX_HOPS, follow

from fairlead.adapters.outbound import GuardedOutbound
from tests.support.flaky_http import FlakyServer, reply
from tests.support.outbound import SECRET, met, way

LENT: dict[str, Any] = {"auth": Auth(kind=AuthKind.OAUTH2), "credential": Credential(secret=SECRET)}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_origin_keeps_the_credential(
    server: FlakyServer, outbound: GuardedOutbound, status: int
) -> None:
    server.answers["/a/b"] = reply(status, location="../c?d=e")
    answer = await follow(outbound.http(way(server, **LENT)), server.url("/a/b"), headers={"X-Mine": "1"})
    assert answer.status == 200
    assert [asked.target for asked in server.asked] == ["/a/b", "/c?d=e"]
    assert {(asked.headers["authorization"], asked.headers["x-mine"]) for asked in server.asked} == {
        (f"Bearer {SECRET}", "1")
    }


async def test_another_origin_never_sees_a_credential_and_the_way_back_neither(server: FlakyServer) -> None:
    async with FlakyServer.at() as other:
        both = (server.authority, other.authority)
        server.answers["/"] = reply(302, location=other.url("/"))
        other.answers["/"] = reply(302, location=server.url("/end"))
        async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=both) as outbound:
            http = outbound.http(way(server, egress=both, **LENT))
            await follow(http, server.url("/"), headers={"Cookie": SECRET, "X-Mine": "1"})
        (seen,), (_, back) = other.asked, server.asked
        for asked in (seen, back):
            assert asked.headers["x-mine"] == "1"
            assert SECRET not in str(asked.headers)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://127.0.0.2/",
        "http://localhost/",
        "http://undeclared.example/",
        "//169.254.169.254/",
        "https://127.0.0.3/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://127.0.0.1\\@169.254.169.254/",
    ],
)
async def test_a_redirect_leads_nowhere_that_a_first_request_may_not_go(
    server: FlakyServer, outbound: GuardedOutbound, location: str
) -> None:
    server.answers["/"] = reply(302, location=location)
    declared = {"egress": (server.authority, "{anywhere}"), "config": {"anywhere": location}}
    error = await met(follow(outbound.http(way(server, **declared, **LENT)), server.url("/")))
    assert (type(error), error.code) == (Refused, "egress_denied")
    assert len(server.asked) == 1


async def test_a_circle_ends(server: FlakyServer, outbound: GuardedOutbound) -> None:
    server.answers["/"] = reply(302, location="/")
    error = await met(follow(outbound.http(way(server)), server.url("/")))
    assert (type(error), error.code) == (Refused, "redirected")
    assert len(server.asked) == MAX_HOPS + 1
