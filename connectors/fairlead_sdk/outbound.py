"""What a tool is given to reach its counterpart: one connection, and one way out."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct

from fairlead_sdk.errors import Refused


class Credential(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Good for one call. `secret` is an access token, an API key or a password; it is never shown."""

    secret: str
    username: str = ""

    def __repr__(self) -> str:
        return "Credential(…)"


class Connection(Struct, frozen=True, kw_only=True):
    """The tenant's account. `credential` is there only where the manifest has it handed over."""

    connection_id: str
    config: Mapping[str, str]
    credential: Credential | None = None


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """`headers` by lower-case name; repeated ones are joined by a comma and a space. `body` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@runtime_checkable
class Http(Protocol):
    """Requests to declared hosts. Redirects are answers like any other; they are not followed."""

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
        """Any answer, whatever its status, within the rest of the call's time.

        `authorized` adds the connection's credential. Raises Refused for a host that is not declared or not public,
        TryLater when nothing was sent, OutcomeUnknown when the request went out and no whole answer came,
        AnswerTooLarge past `max_bytes` (the platform's limit if None), counted after decompression.
        """


class NoHttp:
    """For calls that have no way out."""

    async def send(self, method: str, url: str, **_: object) -> HttpAnswer:  # noqa: ARG002  # an address may be secret
        raise Refused(f"this call may reach no host, so no {method} is sent", "egress_denied")


@runtime_checkable
class Addresses(Protocol):
    """For protocols other than HTTP, and only for connectors that ship with the platform."""

    async def of(self, host: str, port: int) -> str:
        """An address of a declared host, checked like that of any request: connect to it, and to no name.

        TLS goes on checking the name. Raises Refused for a host that is not declared or not public, TryLater for one
        without an address.
        """


class NoAddresses:
    """For calls that may reach nothing but by `http`."""

    async def of(self, host: str, port: int) -> str:
        raise Refused(f"this call may not connect to {host}:{port}", "egress_denied")
