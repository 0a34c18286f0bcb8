"""Which addresses a connector may reach: public ones, and those of private networks that the installation lists.

Source: the IANA registries of special-purpose addresses for IPv4 and IPv6.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Whoever lists these by a wide range has not meant them: machine identities, every machine at once, and this one.
_NEVER = _networks(
    "169.254.169.254/32",  # metadata of most clouds
    "169.254.170.2/32",  # and of their containers
    "168.63.129.16/32",
    "100.100.100.200/32",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "0.0.0.0/8",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "ff00::/8",
)
_NOT_PUBLIC = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # between a carrier and its customers
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",  # relays of 6to4
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "2001::/23",  # Teredo, which holds an IPv4 address, and other protocols
    "2001:db8::/32",
    "2002::/16",  # 6to4, which holds an IPv4 address
    "2620:4f:8000::/48",
    "3fff::/20",
)
_PUBLIC_V6 = IPv6Network("2000::/3")  # all that was ever given out
_NAT64 = IPv6Network("64:ff9b::/96")  # how machines without IPv4 reach a public IPv4 address, its last 32 bits


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError for what is no network."""
    return tuple(ip_network(text) for text in texts)


def reachable(text: str, listed: tuple[Network, ...]) -> str | None:
    """The address to connect to, None where nobody may. `text` is what a resolver answered."""
    try:
        address = _unmapped(ip_address(text))
    except ValueError:
        return None
    return str(address) if _allowed(address, listed) else None


def _allowed(address: Address, listed: tuple[Network, ...]) -> bool:
    if isinstance(address, IPv6Address) and address in _NAT64:
        return _allowed(IPv4Address(int(address) & 0xFFFFFFFF), listed)
    if _in(address, _NEVER):
        return False
    return _in(address, listed) or _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in _PUBLIC_V6 or address.scope_id is not None):
        return False
    return not _in(address, _NOT_PUBLIC)


def _unmapped(address: Address) -> Address:
    """`::ffff:10.0.0.1` is 10.0.0.1 to the machine, whatever it is called."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _in(address: Address, ranges: tuple[Network, ...]) -> bool:
    return any(address in network for network in ranges)
