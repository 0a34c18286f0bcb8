"""Where a request goes, read once, and whether that host was declared.

An address is taken apart here and nowhere after, so that what is checked is what is connected to.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address

import httpx2
from fairlead_sdk.errors import Refused
from msgspec import Struct

MAX_URL_BYTES = 16 * 1024
MAX_HOST = 253
MAX_PORT = 65_535
DEFAULT_PORTS = {"https": 443, "http": 80}

_PRINTABLE = re.compile(r"[!-~]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this makes the whole name an IPv4 address to some
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PORT = re.compile(r"(.*):([0-9]{1,5})")


class NotDeclared(Exception):
    """A host or a pattern that cannot be read. Never leaves this package."""


class Destination(Struct, frozen=True):
    """`host` is lower case, without brackets and trailing dot; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: bytes

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


class Declared(Struct, frozen=True):
    """`below` is for every name that ends in `.host`, and not for `host` itself."""

    host: str
    port: int
    below: bool = False

    def covers(self, destination: Destination) -> bool:
        if self.port != destination.port:
            return False
        return destination.host.endswith(f".{self.host}") if self.below else destination.host == self.host


def destination_of(url: str) -> Destination:
    """Raises Refused for what is no plain address of a host: its text is not quoted, it may hold a secret."""
    if len(url) > MAX_URL_BYTES or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise Refused("an address has printable ASCII characters only, and a bound", "egress_denied")
    try:
        parts = httpx2.URL(url)
        host = host_of(parts.raw_host.decode("ascii"))
    except (httpx2.InvalidURL, NotDeclared):
        raise Refused("the address cannot be read", "egress_denied") from None
    if parts.scheme not in DEFAULT_PORTS or parts.userinfo:
        raise Refused("an address begins with https:// and holds no credential", "egress_denied")
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    if not 0 < port <= MAX_PORT:
        raise Refused("the address cannot be read", "egress_denied")
    return Destination(parts.scheme, host, port, parts.raw_path)


def host_of(text: str) -> str:
    """One spelling for each host. Raises NotDeclared for IPv4 addresses in any other than the usual spelling."""
    host = text.lower().removesuffix(".")
    if ":" in host:
        return _ipv6(host)
    if len(host) > MAX_HOST or not _NAME.fullmatch(host):
        raise NotDeclared
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise NotDeclared from None
    return host


def _ipv6(host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        raise NotDeclared from None
    if address.scope_id is not None:  # a place on this machine
        raise NotDeclared
    return str(address)


def declared(patterns: Iterable[str], config: Mapping[str, str]) -> tuple[Declared, ...]:
    """The hosts of a manifest, with the connection's fields filled in. A field that is no host opens nothing."""
    found: list[Declared] = []
    for pattern in patterns:
        try:
            found.append(_declared(pattern, config))
        except NotDeclared:
            continue
    return tuple(found)


def _declared(pattern: str, config: Mapping[str, str]) -> Declared:
    """`{field}` alone may be a whole address; inside a name it is one label of it."""
    alone = _FIELD.fullmatch(pattern)
    if alone:
        return _of_address(config.get(alone[1], ""))
    filled = _FIELD.sub(lambda field: _label(config.get(field[1], "")), pattern)
    below = filled.startswith("*.")
    host, port = _split_port(filled.removeprefix("*."))
    if below and "." not in host:
        raise NotDeclared  # every name of a whole top-level domain
    return Declared(host_of(host), port, below)


def _of_address(text: str) -> Declared:
    if "://" in text:
        try:
            where = destination_of(text)
        except Refused:
            raise NotDeclared from None
        return Declared(where.host, where.port)
    host, port = _split_port(text)
    return Declared(host_of(host), port)


def _label(value: str) -> str:
    label = value.lower()
    if not re.fullmatch(_LABEL, label):
        raise NotDeclared
    return label


def _split_port(text: str) -> tuple[str, int]:
    """`[::1]:8443` and `host:8443`; 443 where none is given."""
    found = _PORT.fullmatch(text)
    bare_v6 = text.count(":") > 1 and not text.startswith("[")
    host, port = (found[1], int(found[2])) if found and not bare_v6 else (text, DEFAULT_PORTS["https"])
    return host.removeprefix("[").removesuffix("]"), port
