"""How a connector's tenants prove who they are to the counterpart, and what a grant lets tools do."""

from enum import StrEnum

from msgspec import Struct


class Access(StrEnum):
    """What a scope opens. A tool that writes needs a scope of at least that class."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Scope(Struct, frozen=True, kw_only=True):
    """`name` is the counterpart's own word for it, as it goes over the wire."""

    name: str
    access: Access
    title: str


class AuthKind(StrEnum):
    NONE = "none"
    API_KEY = "api_key"
    BASIC = "basic"
    OAUTH2 = "oauth2"


class OAuthGrant(StrEnum):
    AUTHORIZATION_CODE = "authorization_code"  # always with PKCE
    CLIENT_CREDENTIALS = "client_credentials"
    DEVICE_CODE = "device_code"
    TOKEN_EXCHANGE = "token_exchange"  # noqa: S105  # the name of a grant


class OAuthServer(Struct, frozen=True, kw_only=True):
    """Where grants come from. With an `issuer` the rest is discovered (RFC 8414, OpenID Connect discovery).

    `{field}` in an address stands for that field of the connection. `resource` is sent as a resource indicator
    (RFC 8707).
    """

    issuer: str | None = None
    authorization_url: str | None = None
    token_url: str | None = None
    revocation_url: str | None = None
    device_url: str | None = None
    resource: str | None = None
    grants: tuple[OAuthGrant, ...] = (OAuthGrant.AUTHORIZATION_CODE,)


class Auth(Struct, frozen=True, kw_only=True):
    """`header` and `prefix` say where an API key goes on a request, `query` that it goes into that query parameter
    instead. OAuth tokens are always bearer tokens.

    `handed_over`: the protocol is not HTTP, so the tool itself needs to see the credential of this one call.
    Only connectors that ship with the platform may ask for it.
    """

    kind: AuthKind
    oauth: OAuthServer | None = None
    header: str = "Authorization"
    prefix: str = "Bearer "
    query: str = ""
    handed_over: bool = False


NO_AUTH = Auth(kind=AuthKind.NONE)
