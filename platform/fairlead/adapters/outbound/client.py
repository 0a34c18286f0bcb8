"""`GuardedOutbound` lives as long as its process; `CallHttp` is what one call is given of it."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import httpcore2
from fairlead_sdk.errors import Refused, TryLater
from fairlead_sdk.outbound import Credential, HttpAnswer
from msgspec.structs import replace

from fairlead.adapters.outbound.addresses import networks
from fairlead.adapters.outbound.decoding import ACCEPTED
from fairlead.adapters.outbound.destinations import (
    Declared,
    Destination,
    NotDeclared,
    declared,
    destination_of,
    host_of,
)
from fairlead.adapters.outbound.exchange import Arriving, Exchange, Times
from fairlead.adapters.outbound.headers import Pairs, proof, said, with_key, with_proof
from fairlead.adapters.outbound.lanes import IDLE_S, Lanes
from fairlead.adapters.outbound.network import GuardedNetwork, Resolver, SystemResolver
from fairlead.ports import WayOut

MAX_ANSWER_BYTES = 4 * 1024 * 1024  # unless a connector asks for less, or for more
MOST_ANSWER_BYTES = 32 * 1024 * 1024
MOST_STREAM_BYTES = 64 * 1024 * 1024  # of an answer that is read as it comes
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 16  # of one owner at once
MAX_KEPT = 4  # and while nothing is asked
HEADROOM_S = 0.1  # before a call's own end, so that it can still be told whether anything was sent

_METHOD = re.compile(r"[A-Z]{1,20}")
_NO_REQUEST = frozenset({"CONNECT", "TRACE"})  # a tunnel, and an echo of what we added
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class GuardedOutbound:
    """Opens nothing before the first request. Proxies, cookies and credentials of the environment are not looked at."""

    def __init__(
        self,
        *,
        private_networks: Iterable[str] = (),
        plain_http: Iterable[str] = (),
        ca_file: Path | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        """`private_networks` and `plain_http` are what the installation lists: ranges like `10.1.0.0/16` that may be
        reached although they are not public, and `host:port` that may be spoken to without TLS.

        `ca_file` holds certificates that vouch for counterparts, beside those of the machine.
        """
        self._system = SystemResolver() if resolver is None else None
        self._resolver: Resolver = resolver or self._system or SystemResolver()
        self._listed = networks(private_networks)
        self._plain_http = declared((_with_port(host) for host in plain_http), {})
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._lanes = Lanes(self._pool)

    def http(self, way: WayOut) -> "CallHttp":
        return CallHttp(self, way)

    def addresses(self, way: WayOut) -> "CallAddresses":
        return CallAddresses(self._network(), way)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._lanes.aclose()
        if self._system is not None:
            self._system.close()

    def may_be_plain(self, destination: Destination) -> bool:
        return any(host.covers(destination) for host in self._plain_http)

    async def run(self, owner: str | None, exchange: Exchange, times: Times, max_bytes: int) -> HttpAnswer:
        if self._tls is None:
            self._tls = await asyncio.to_thread(_trust, self._ca_file)  # reads a few hundred certificates
        async with self._lanes.of(owner) as pool:
            return await exchange.run(pool, times, max_bytes)

    @asynccontextmanager
    async def open(
        self, owner: str | None, exchange: Exchange, times: Times, first_s: float, max_bytes: int
    ) -> AsyncIterator[Arriving]:
        if self._tls is None:
            self._tls = await asyncio.to_thread(_trust, self._ca_file)
        async with self._lanes.of(owner) as pool, exchange.open(pool, times, first_s, max_bytes) as arriving:
            yield arriving

    def _pool(self) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_KEPT,
            keepalive_expiry=IDLE_S,
            network_backend=self._network(),
        )

    def _network(self) -> GuardedNetwork:
        return GuardedNetwork(self._resolver, self._listed)


class CallHttp:
    """Implements `fairlead_sdk.outbound.Http` for one call."""

    def __init__(self, outbound: GuardedOutbound, way: WayOut) -> None:
        self._outbound = outbound
        self._way = way
        self._declared: tuple[Declared, ...] = declared(way.egress, way.config)
        ends_in_s = way.timeout_s - min(HEADROOM_S, way.timeout_s / 20)
        self._ends_at = asyncio.get_running_loop().time() + ends_in_s

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        authorized: bool = True,
        timeout_s: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        exchange, to = self._exchange(method, url, headers, body, authorized)
        limit = MAX_ANSWER_BYTES if max_bytes is None else max(0, min(max_bytes, MOST_ANSWER_BYTES))
        return await self._outbound.run(self._way.owner, exchange, self._times(to, timeout_s), limit)

    @asynccontextmanager
    async def open(
        self, url: str, *, headers: Mapping[str, str], body: bytes, connect_s: float, first_s: float, between_s: float
    ) -> AsyncIterator[Arriving]:
        """POST, and the answer as it comes: its head within `first_s`, never more than `between_s` without a piece.

        Raises what `send` raises.
        """
        exchange, to = self._exchange("POST", url, headers, body, authorized=True)
        times = replace(self._times(to, None), connect_s=connect_s, read_s=max(first_s, between_s))
        first_s = min(first_s, times.total_s)
        async with self._outbound.open(self._way.owner, exchange, times, first_s, MOST_STREAM_BYTES) as arriving:
            yield arriving

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes, authorized: bool
    ) -> tuple[Exchange, Destination]:
        """Raises Refused."""
        to = self._allowed(destination_of(url))
        if not _METHOD.fullmatch(method) or method in _NO_REQUEST:
            raise Refused("this method is not sent", "bad_request")
        if len(body) > MAX_BODY_BYTES:
            raise Refused(f"a request has at most {MAX_BODY_BYTES} bytes", "body_too_large")
        lent = self._way.credential if authorized else None
        pairs = self._headers(to, method, headers, body, lent)
        return Exchange(with_key(to, self._way.auth, lent) if lent else to, method, pairs, body), to

    def _allowed(self, to: Destination) -> Destination:
        """Raises Refused for a host that the manifest does not name, and for one without TLS."""
        if not any(host.covers(to) for host in self._declared):
            raise Refused(f"{to.authority} is not among the declared hosts", "egress_denied")
        if to.scheme == "http" and not self._outbound.may_be_plain(to):
            raise Refused(f"{to.authority} may not be spoken to without TLS", "egress_denied")
        return to

    def _headers(
        self, to: Destination, method: str, headers: Mapping[str, str] | None, body: bytes, lent: Credential | None
    ) -> Pairs:
        added = proof(self._way.auth, lent) if lent is not None else None
        pairs = with_proof(said(headers), added)
        if not any(name.lower() == b"user-agent" for name, _ in pairs):
            pairs.append((b"User-Agent", b"fairlead"))
        if body or method in _WITH_BODY:
            pairs.append((b"Content-Length", str(len(body)).encode()))
        return [(b"Host", to.authority.encode()), (b"Accept-Encoding", ACCEPTED), *pairs]

    def _times(self, to: Destination, timeout_s: float | None) -> Times:
        """Raises TryLater when the call has no time left."""
        rest_s = self._ends_at - asyncio.get_running_loop().time()
        total_s = rest_s if timeout_s is None else min(rest_s, timeout_s)
        if total_s <= 0:
            raise TryLater(f"no time was left to ask {to.host}", "timeout")
        return Times(total_s=total_s)


class CallAddresses:
    """Implements `fairlead_sdk.outbound.Addresses` for one call."""

    def __init__(self, network: GuardedNetwork, way: WayOut) -> None:
        self._network = network
        self._declared = declared(way.egress, way.config)

    async def of(self, host: str, port: int) -> str:
        try:
            to = Destination("", host_of(host), port, b"")
        except NotDeclared:
            raise Refused("the host cannot be read", "egress_denied") from None
        if not any(each.covers(to) for each in self._declared):
            raise Refused(f"{to.host}:{port} is not among the declared hosts", "egress_denied")
        try:
            return (await self._network.checked(to.host))[0]
        except httpcore2.ConnectError:
            raise TryLater(f"{to.host} has no address", "unreachable") from None


def _with_port(host: str) -> str:
    """In the list of hosts without TLS, 80 is what is meant."""
    return host if re.search(r":[0-9]+$", host) else f"{host}:80"


@cache
def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = httpcore2.default_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
