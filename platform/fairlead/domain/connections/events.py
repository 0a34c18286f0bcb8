"""Facts of a connection. Nothing in here is secret: `secret_version` only says which secret of the vault is meant."""

from fairlead_sdk.auth import AuthKind, OAuthGrant
from fairlead_tenants.ids import EnvironmentId, WorkspaceId

from fairlead.domain.connections.use import Purpose
from fairlead.domain.envelope import Event
from fairlead.domain.ids import CallId, ConnectionId, RunId
from fairlead.domain.instant import Instant


class ConnectionCreated(Event, frozen=True, kw_only=True, tag="connection.created.v1", omit_defaults=True):
    """A name in one workspace and environment stands for an account. `scopes` is what people will be asked to grant.

    `grant` is how OAuth is done, where it is. A name that was deleted may be created again and is another account.
    """

    connection_id: ConnectionId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    name: str
    auth: AuthKind
    config: dict[str, str]
    scopes: tuple[str, ...]
    grant: OAuthGrant | None = None


class ConnectionAuthorized(Event, frozen=True, kw_only=True, tag="connection.authorized.v1", omit_defaults=True):
    """Somebody gave access. `granted` is what the provider said; without OAuth, what the person said.

    `expires_at` is when the credential has to be refreshed.
    """

    secret_version: int
    requested: tuple[str, ...]
    granted: tuple[str, ...]
    expires_at: Instant | None = None


class ConnectionRefreshed(Event, frozen=True, kw_only=True, tag="connection.refreshed.v1", omit_defaults=True):
    """The provider gave a new credential for the old one."""

    secret_version: int
    expires_at: Instant | None = None


class ConnectionScopesChanged(Event, frozen=True, kw_only=True, tag="connection.scopes_changed.v1"):
    """What is granted now is not what was granted before."""

    granted: tuple[str, ...]
    added: tuple[str, ...]
    withdrawn: tuple[str, ...]


class ConnectionReconnectNeeded(Event, frozen=True, kw_only=True, tag="connection.reconnect_needed.v1"):
    """The credential of this version is of no use any more. `reason` is a code, such as the provider's own."""

    secret_version: int
    reason: str


class ConnectionRevoked(Event, frozen=True, kw_only=True, tag="connection.revoked.v1"):
    """No call may use it from here on. A person may give access anew."""

    reason: str


class ConnectionSecretErased(Event, frozen=True, kw_only=True, tag="connection.secret_erased.v1"):
    """What the vault held for it is gone. `told_provider`: the provider confirmed that it ended the grant, too."""

    told_provider: bool


class ConnectionDeleted(Event, frozen=True, kw_only=True, tag="connection.deleted.v1"):
    """The name is free again. What used the connection stays on record."""

    reason: str


ConnectionEvent = (
    ConnectionCreated
    | ConnectionAuthorized
    | ConnectionRefreshed
    | ConnectionScopesChanged
    | ConnectionReconnectNeeded
    | ConnectionRevoked
    | ConnectionSecretErased
    | ConnectionDeleted
)


class ConnectionUsed(Event, frozen=True, kw_only=True, tag="connection.used.v1"):
    """The credential of this version was lent for one attempt of one call, until `lent_until` at most.

    Uses have streams of their own, one for each connection and worker, so that a busy connection stays quick to read
    and workers never wait for one another.
    """

    connection_id: ConnectionId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    secret_version: int
    tool: str
    scopes: tuple[str, ...]
    run_id: RunId
    call_id: CallId
    attempt: int
    purpose: Purpose
    worker: str
    lent_at: Instant
    lent_until: Instant
