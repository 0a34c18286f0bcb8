"""Where a call may go: against private addresses in every spelling and a name server that lies."""

import asyncio

import pytest
from fairlead_sdk import Auth, AuthKind, Credential
from fairlead_sdk.errors import Refused, TryLater

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.outbound.network import MAX_LOOKUPS
from fairlead.ports import WayOut
from tests.support.flaky_http import (
    FlakyServer,
    reply,
)
from tests.support.name_server import AskingResolver, NameServer
from tests.support.outbound import SECRET, met, way


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


async def test_names_that_nobody_answers_for_hold_up_their_owner_alone(server: FlakyServer) -> None:
    class Slow:
        def __init__(self) -> None:
            self.asked: list[str] = []
            self.answered = asyncio.Event()

        async def addresses(self, host: str, /) -> list[str]:
            self.asked.append(host)
            if host.startswith("slow"):
                await self.answered.wait()
            return ["127.0.0.1"]

    names, port = Slow(), server.port
    hosts = [f"slow{number}.example:{port}" for number in range(10)]
    plain = [*hosts, f"quick.example:{port}"]
    async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=plain, resolver=names) as outbound:
        hostile = outbound.http(way(server, egress=tuple(hosts), timeout_s=0.2))
        errors = await asyncio.gather(*(met(hostile.send("GET", f"http://{host}/")) for host in hosts))
        assert {type(error) for error in errors} == {TryLater}
        assert len(names.asked) == MAX_LOOKUPS
        other = outbound.http(way(server, owner="con_b", egress=(f"quick.example:{port}",)))
        assert (await other.send("GET", f"http://quick.example:{port}/")).status == 200
        again = outbound.http(way(server, egress=tuple(hosts), timeout_s=0.2))
        assert isinstance(await met(again.send("GET", f"http://{hosts[0]}/")), TryLater)
        assert len(names.asked) == MAX_LOOKUPS + 1  # what was given up is still under way
        names.answered.set()
        later = outbound.http(way(server, egress=tuple(hosts)))
        assert (await later.send("GET", f"http://{hosts[0]}/")).status == 200


async def test_a_dead_address_is_passed_over_for_the_next(server: FlakyServer) -> None:
    async with NameServer.start() as names:
        names.answers["two.example"] = [("127.0.0.9", "127.0.0.1")]
        authority = f"two.example:{server.port}"
        async with GuardedOutbound(
            private_networks=["127.0.0.0/24"], plain_http=[authority], resolver=AskingResolver(names.port)
        ) as outbound:
            answer = await outbound.http(way(server, egress=(authority,))).send("GET", f"http://{authority}/")
            assert answer.status == 200
