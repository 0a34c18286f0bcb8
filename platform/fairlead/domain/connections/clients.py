"""Who we are at a provider: the tenant's own registration of Fairlead there. The secret of it is in the vault.

One for each connector, workspace and environment: what is registered for trying things out opens nothing else.
"""

from collections.abc import Mapping

from fairlead_sdk.contract import Manifest
from fairlead_sdk.egress import fields_in
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connections.errors import OAuthClientMissing
from fairlead.domain.connections.grants import OAuthClient
from fairlead.domain.envelope import Event
from fairlead.domain.ids import OAuthClientId
from fairlead.domain.tenants import limits

MAX_CLIENT_ID = 500
ADDRESSES = ("issuer", "authorization_url", "token_url", "revocation_url", "device_url", "resource")


class ClientSecret(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the vault holds for a registration: a secret, or the key that it signs with instead (a JWK)."""

    secret: str | None = None
    private_key: str | None = None

    def __repr__(self) -> str:
        return "ClientSecret(…)"


class OAuthClientRegistered(Event, frozen=True, kw_only=True, tag="oauth_client.registered.v1", omit_defaults=True):
    """`client_id` is public. `secret_version` is the secret's in the vault, None for a client without one."""

    oauth_client_id: OAuthClientId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    client_id: str
    secret_version: int | None = None


class OAuthClientRemoved(Event, frozen=True, kw_only=True, tag="oauth_client.removed.v1"):
    """Connections that were made with it cannot be refreshed any more."""

    reason: str


OAuthClientEvent = OAuthClientRegistered | OAuthClientRemoved


class RegisterOAuthClient(Struct, frozen=True, kw_only=True):
    """Registering again replaces what was registered, and its secret."""

    registered: OAuthClientRegistered


class RemoveOAuthClient(Struct, frozen=True, kw_only=True):
    reason: str


OAuthClientCommand = RegisterOAuthClient | RemoveOAuthClient


class Unregistered(Struct, frozen=True):
    pass


class Registered(Struct, frozen=True):
    client: OAuthClientRegistered


OAuthClientState = Unregistered | Registered


def initial() -> OAuthClientState:
    return Unregistered()


def decide(command: OAuthClientCommand, state: OAuthClientState) -> list[OAuthClientEvent]:
    """Raises OAuthClientMissing, Invalid."""
    match command, state:
        case RegisterOAuthClient(registered=registered), _:
            limits.check(limits.text("/client_id", registered.client_id, MAX_CLIENT_ID))
            return [] if state == Registered(registered) else [registered]
        case RemoveOAuthClient(reason=reason), Registered():
            limits.check(limits.text("/reason", reason, limits.MAX_REASON))
            return [OAuthClientRemoved(reason=reason)]
        case RemoveOAuthClient(), Unregistered():
            raise OAuthClientMissing("no such client registration")
    raise AssertionError("every command meets every state above")


def evolve(state: OAuthClientState, event: OAuthClientEvent) -> OAuthClientState:  # noqa: ARG001  # one shape for all
    return Registered(event) if isinstance(event, OAuthClientRegistered) else Unregistered()


def client_for(
    manifest: Manifest, config: Mapping[str, str], registered: OAuthClientRegistered, secret: ClientSecret
) -> OAuthClient:
    """Who we are for one connection: its fields are filled into the addresses of the connector's provider."""
    server = manifest.auth.oauth
    assert server is not None, "asked only where there is OAuth"
    addresses = {name: _filled(getattr(server, name), config) for name in ADDRESSES}
    return OAuthClient(
        server=replace(server, **addresses),
        client_id=registered.client_id,
        client_secret=secret.secret,
        private_key=secret.private_key,
    )


def _filled(address: str | None, config: Mapping[str, str]) -> str | None:
    if address is None:
        return None
    for name in fields_in(address):
        address = address.replace(f"{{{name}}}", config.get(name, ""))
    return address
