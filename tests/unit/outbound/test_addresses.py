"""Which addresses may be reached, each at its edges."""

import pytest

from fairlead.adapters.outbound.addresses import networks, reachable

NOBODY = networks(())


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:5db8:d822::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2a00:1450:4001::1%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
        "127.1",
        "0x7f000001",
    ],
)
def test_an_address_that_is_not_public_is_not_reached(address: str) -> None:
    assert reachable(address, NOBODY) is None


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "64:ff9b::5db8:d822",
    ],
)
def test_a_public_address_is_reached(address: str) -> None:
    assert reachable(address, NOBODY) == address


def test_an_ipv4_address_in_ipv6_clothes_is_connected_to_as_what_it_is() -> None:
    assert reachable("::ffff:93.184.216.34", NOBODY) == "93.184.216.34"


def test_a_private_network_is_reached_where_the_installation_lists_it_and_not_beside_it() -> None:
    listed = networks(["10.1.0.0/16", "127.0.0.1/32", "fd12:3456::/32"])
    assert reachable("10.1.255.255", listed) == "10.1.255.255"
    assert reachable("10.2.0.0", listed) is None
    assert reachable("127.0.0.1", listed) == "127.0.0.1"
    assert reachable("::ffff:127.0.0.1", listed) == "127.0.0.1"
    assert reachable("127.0.0.2", listed) is None
    assert reachable("fd12:3456::1", listed) == "fd12:3456::1"
    assert reachable("fd12:3457::1", listed) is None


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "168.63.129.16"])
def test_listing_everything_does_not_open_what_nobody_may_reach(address: str) -> None:
    assert reachable(address, networks(["0.0.0.0/0"])) is None
    assert reachable("fd00:ec2::254", networks(["::/0"])) is None


def test_what_is_no_network_is_not_listed() -> None:
    with pytest.raises(ValueError, match="has host bits set"):
        networks(["10.1.0.1/16"])
