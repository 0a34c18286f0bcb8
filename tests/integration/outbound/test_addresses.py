"""Protocols other than HTTP are given addresses that met the same checks."""

from collections.abc import Sequence

import pytest
from fairlead_sdk.errors import Refused, TryLater
from fairlead_sdk.outbound import Addresses

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import WayOut
from tests.support.outbound import met

MAIL = WayOut(owner="con_1", egress=("{server}",), timeout_s=5.0, config={"server": "mail.example:465"})


class Known:
    """A name server's answers, by name."""

    def __init__(self, **answers: list[str]) -> None:
        self._answers = {name.replace("_", "."): found for name, found in answers.items()}

    async def addresses(self, host: str, /) -> Sequence[str]:
        if host not in self._answers:
            raise OSError
        return self._answers[host]


def addresses(way: WayOut = MAIL, **answers: list[str]) -> Addresses:
    return GuardedOutbound(resolver=Known(**answers)).addresses(way)


async def test_a_declared_host_has_an_address_to_connect_to() -> None:
    assert await addresses(mail_example=["93.184.216.34"]).of("mail.example", 465) == "93.184.216.34"


@pytest.mark.parametrize(("host", "port"), [("other.example", 465), ("mail.example", 25), ("a.mail.example", 465)])
async def test_another_host_or_port_is_refused(host: str, port: int) -> None:
    refusal = await met(addresses(mail_example=["93.184.216.34"], other_example=["93.184.216.35"]).of(host, port))
    assert (type(refusal), refusal.code) == (Refused, "egress_denied")


@pytest.mark.parametrize("private", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "::ffff:10.0.0.8", "fd00::1"])
async def test_one_private_address_among_many_is_refused(private: str) -> None:
    refusal = await met(addresses(mail_example=["93.184.216.34", private]).of("mail.example", 465))
    assert (type(refusal), refusal.code) == (Refused, "egress_denied")


async def test_an_address_may_be_listed_by_the_installation() -> None:
    outbound = GuardedOutbound(private_networks=["10.0.0.0/24"], resolver=Known(mail_example=["10.0.0.8"]))
    assert await outbound.addresses(MAIL).of("mail.example", 465) == "10.0.0.8"


async def test_a_host_without_an_address_may_have_one_later() -> None:
    assert type(await met(addresses().of("mail.example", 465))) is TryLater


@pytest.mark.parametrize("host", ["0177.0.0.1", "2130706433", "mail.example/..", "", "fe80::1%lo"])
async def test_what_is_no_plain_host_is_refused(host: str) -> None:
    assert type(await met(addresses().of(host, 465))) is Refused
