"""Names become addresses here, are checked, and the connection is made to what was checked.

TLS and the Host header go on using the name. A name whose answer changes meets the same check at its next connection.
"""

import asyncio
import socket
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import httpcore2
from fairlead_sdk.errors import Refused

from fairlead.adapters.outbound.addresses import Network, reachable

MAX_TRIED = 4  # addresses of one name that a connection is tried to
RESOLVER_THREADS = 64
MAX_LOOKUPS = 4  # under way for one owner: names of one tenant that nobody answers for leave threads to the others
_KEEPALIVE = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),)


class Resolver(Protocol):
    def addresses(self, host: str, /) -> Coroutine[Any, Any, Sequence[str]]:
        """Of a name, or of an address in any spelling that it understands. Raises OSError when there is none."""


class SystemResolver:
    """The machine's own. In threads of its own: a slow name server must not hold up anything else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "resolve")

    async def addresses(self, host: str, /) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except UnicodeError:  # a name that no name server could be asked for
        raise OSError from None


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Of one owner of kept connections."""

    def __init__(self, resolver: Resolver, listed: tuple[Network, ...]) -> None:
        self._resolver = resolver
        self._listed = listed
        self._room = asyncio.Semaphore(MAX_LOOKUPS)
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  # the pool asks for none
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises Refused when any address of the name is none that may be reached."""
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(await self.checked(host), port, timeout, socket_options)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None

    async def checked(self, host: str) -> list[str]:
        """Raises Refused when any address of the name is none that may be reached, ConnectError when it has none."""
        await self._room.acquire()
        looking = asyncio.ensure_future(self._resolver.addresses(host))
        looking.add_done_callback(self._looked_up)  # which may be long after we have stopped waiting for it
        try:
            found = await asyncio.shield(looking)
        except OSError:
            raise httpcore2.ConnectError(f"{host} has no address") from None
        checked = [reachable(address, self._listed) for address in found]
        if None in checked:
            raise Refused(f"{host} is at an address that may not be reached from here", "egress_denied")
        return [address for address in checked if address is not None]

    def _looked_up(self, looking: "asyncio.Future[Sequence[str]]") -> None:
        self._room.release()
        if not looking.cancelled():
            looking.exception()  # whoever waits is told; if nobody does, nobody needs to be

    async def _connect(
        self,
        addresses: list[str],
        port: int,
        timeout: float | None,
        options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """The first that answers. Each gets an even share of the time, so that a dead one does not use all of it."""
        tried = addresses[:MAX_TRIED]
        share_s = None if timeout is None else timeout / max(len(tried), 1)
        failure: Exception = httpcore2.ConnectError("no address")
        for address in tried:
            try:
                return await self._plain.connect_tcp(
                    address, port, timeout=share_s, socket_options=[*(options or ()), *_KEEPALIVE]
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure
