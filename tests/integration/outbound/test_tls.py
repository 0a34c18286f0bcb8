"""TLS speaks to the name, while the connection goes to the address that was checked."""

from pathlib import Path

import pytest
from fairlead_sdk.errors import TryLater

from fairlead.adapters.outbound import GuardedOutbound
from tests.support.certificates import Authority
from tests.support.flaky_http import FlakyServer
from tests.support.name_server import AskingResolver, NameServer
from tests.support.outbound import met, way


@pytest.mark.parametrize(("asked", "is_trusted"), [("api.example", True), ("other.example", False)])
async def test_the_certificate_is_checked_against_the_name(tmp_path: Path, asked: str, is_trusted: bool) -> None:
    authority = Authority(tmp_path)
    async with FlakyServer.at(tls=authority.server("api.example")) as server, NameServer.start() as names:
        names.answers[asked] = [("127.0.0.1",)]
        host = f"{asked}:{server.port}"
        async with GuardedOutbound(
            private_networks=["127.0.0.1/32"], ca_file=authority.file, resolver=AskingResolver(names.port)
        ) as outbound:
            asking = outbound.http(way(server, egress=(host,))).send("POST", f"https://{host}/", body=b"pay")
            if is_trusted:
                assert (await asking).status == 200
                assert server.asked[0].headers["host"] == host
            else:
                assert isinstance(await met(asking), TryLater)
                assert server.asked == []


async def test_a_certificate_of_an_authority_that_nobody_named_is_not_trusted(tmp_path: Path) -> None:
    async with FlakyServer.at(tls=Authority(tmp_path).server("api.example")) as server, NameServer.start() as names:
        names.answers["api.example"] = [("127.0.0.1",)]
        host = f"api.example:{server.port}"
        async with GuardedOutbound(private_networks=["127.0.0.1/32"], resolver=AskingResolver(names.port)) as outbound:
            http = outbound.http(way(server, egress=(host,)))
            assert isinstance(await met(http.send("POST", f"https://{host}/")), TryLater)
            assert server.asked == []
