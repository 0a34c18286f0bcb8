"""What is known of a connection, folded from its facts."""

import hashlib
from typing import Literal

from fairlead_sdk.auth import AuthKind, OAuthGrant
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connections.events import (
    ConnectionAuthorized,
    ConnectionCreated,
    ConnectionDeleted,
    ConnectionEvent,
    ConnectionReconnectNeeded,
    ConnectionRefreshed,
    ConnectionRevoked,
    ConnectionScopesChanged,
    ConnectionSecretErased,
)
from fairlead.domain.ids import ConnectionId
from fairlead.domain.instant import Instant

Standing = Literal["new", "connected", "reconnect_needed", "revoked"]


class Absent(Struct, frozen=True, kw_only=True):
    """Never there, or deleted. `lives` counts how often the name has ended, see `Account`."""

    lives: int = 0


class Account(Struct, frozen=True, kw_only=True):
    """`lives` counts revocations and deletions: what was begun in an earlier life has no effect in this one.

    `secret_version` is the newest secret that a fact speaks of, 0 before the first: an older one is not to be used.
    `consents` counts how often somebody gave access.
    """

    connection_id: ConnectionId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    name: str
    auth: AuthKind
    grant: OAuthGrant | None
    config: dict[str, str]
    requested: tuple[str, ...]
    lives: int
    granted: tuple[str, ...] = ()
    standing: Standing = "new"
    secret_version: int = 0
    consents: int = 0
    expires_at: Instant | None = None
    reason: str = ""  # why it is not connected


ConnectionState = Absent | Account


def generation(account: Account) -> str:
    """Another one after a revocation, another consent, other scopes or other settings: whatever could change an answer.

    A refresh is none of these.
    """
    said = (account.lives, account.consents, account.granted, sorted(account.config.items()))
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def initial() -> ConnectionState:
    return Absent()


def evolve(state: ConnectionState, event: ConnectionEvent) -> ConnectionState:
    if isinstance(event, ConnectionCreated):
        assert isinstance(state, Absent), "a name stands for one account at a time"
        return _created(state, event)
    if isinstance(event, ConnectionSecretErased):
        return state
    assert isinstance(state, Account), "creation comes first"
    match event:
        case ConnectionAuthorized():
            return replace(
                state,
                requested=event.requested,
                granted=event.granted,
                standing="connected",
                secret_version=event.secret_version,
                consents=state.consents + 1,
                expires_at=event.expires_at,
                reason="",
            )
        case ConnectionRefreshed(secret_version=version, expires_at=expires_at):
            return replace(state, standing="connected", secret_version=version, expires_at=expires_at, reason="")
        case ConnectionScopesChanged(granted=granted):
            return replace(state, granted=granted)
        case ConnectionReconnectNeeded(reason=reason):
            return replace(state, standing="reconnect_needed", reason=reason)
        case ConnectionRevoked(reason=reason):
            return replace(state, standing="revoked", reason=reason, lives=state.lives + 1)
        case ConnectionDeleted():
            return Absent(lives=state.lives + 1)


def _created(state: Absent, event: ConnectionCreated) -> Account:
    return Account(
        connection_id=event.connection_id,
        workspace_id=event.workspace_id,
        environment_id=event.environment_id,
        connector=event.connector,
        name=event.name,
        auth=event.auth,
        grant=event.grant,
        config=event.config,
        requested=event.scopes,
        lives=state.lives,
        standing="connected" if event.auth is AuthKind.NONE else "new",  # there is nothing to give
        granted=event.scopes if event.auth is AuthKind.NONE else (),
    )
