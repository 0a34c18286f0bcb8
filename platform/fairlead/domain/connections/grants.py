"""What a provider of OAuth is asked and answers. Values in here are secret and exist in memory only."""

from fairlead_sdk.auth import OAuthServer
from msgspec import Struct

from fairlead.domain.instant import Instant


class Grant(Struct, frozen=True, kw_only=True):
    """What a provider gave. `scopes` are the granted ones: what was asked for where its answer names none.

    After a refresh without rotation `refresh_token` is the one that was spent, so a grant is always whole.
    `expires_at` is None where the provider does not say; it is when the access token ends, not the grant.
    """

    access_token: str
    refresh_token: str | None = None
    expires_at: Instant | None = None
    scopes: tuple[str, ...] = ()
    token_type: str = "Bearer"  # noqa: S105  # the name of a kind

    def __repr__(self) -> str:
        return "Grant(…)"


class OAuthClient(Struct, frozen=True, kw_only=True):
    """Who we are at the provider. The connection's fields are filled into the addresses of `server` already.

    `private_key` (PEM or JWK, Ed25519 or P-256) goes before the secret; with neither the client is a public one.
    """

    server: OAuthServer
    client_id: str
    client_secret: str | None = None
    private_key: str | None = None

    def __repr__(self) -> str:
        return f"OAuthClient({self.client_id!r})"


class AuthorizationRequest(Struct, frozen=True, kw_only=True):
    """Where to send the person, and what to keep until they come back.

    `verifier` is PKCE's and secret; `issuer` is who must answer (RFC 9207), None where the server has no issuer.
    """

    url: str
    verifier: str
    issuer: str | None = None

    def __repr__(self) -> str:
        return "AuthorizationRequest(…)"


class AuthorizationAnswer(Struct, frozen=True, kw_only=True):
    """What came back to the callback, with what was kept: `expected_issuer` from the request, `issuer` as answered."""

    code: str
    verifier: str
    redirect_uri: str
    expected_issuer: str | None = None
    issuer: str | None = None

    def __repr__(self) -> str:
        return "AuthorizationAnswer(…)"


class DeviceRequest(Struct, frozen=True, kw_only=True):
    """`device_code` is secret and ours; the rest is for the person (RFC 8628)."""

    device_code: str
    user_code: str
    verification_url: str
    verification_url_complete: str | None
    expires_at: Instant
    interval_s: int

    def __repr__(self) -> str:
        return "DeviceRequest(…)"


class DevicePending(Struct, frozen=True, kw_only=True):
    """The person has not decided yet; ask again after `interval_s`, which the provider may have raised."""

    interval_s: int
