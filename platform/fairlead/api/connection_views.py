"""Connections, registrations and uses as the API shows them. There is no secret in what they are read from."""

from datetime import datetime
from typing import Any, Literal

from fairlead_sdk.auth import AuthKind, OAuthGrant
from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.domain.connections.states import Account, Standing
from fairlead.domain.connections.use import Purpose
from fairlead.domain.ids import CallId, ConnectionId, OAuthClientId, RunId
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

ShownStanding = Literal["new", "connected", "reconnect_needed", "revoked"]

_ONE = """
SELECT connection_id, workspace_id, environment_id, connector, name, auth, oauth_grant AS "grant", config,
       requested AS requested_scopes, granted AS granted_scopes, standing, reason, expires_at, created_at, created_by,
       authorized_at, authorized_by, created_sequence
  FROM connections
 WHERE connection_id = %(connection_id)s
"""
_LISTED = """
SELECT connection_id, workspace_id, environment_id, connector, name, auth, oauth_grant AS "grant", config,
       requested AS requested_scopes, granted AS granted_scopes, standing, reason, expires_at, created_at, created_by,
       authorized_at, authorized_by, created_sequence
  FROM connections
 WHERE created_sequence > %(after)s AND standing <> 'deleted'
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
   AND (%(connector)s::text IS NULL OR connector = %(connector)s)
   AND (%(standing)s::text IS NULL OR standing = %(standing)s)
 ORDER BY created_sequence
 LIMIT %(limit)s
"""
_USES = """
SELECT lent_at, place, lent_until, secret_version, tool, scopes, run_id, call_id, attempt, purpose, worker
  FROM connection_uses
 WHERE connection_id = %(connection_id)s AND (lent_at, place) > (%(from_at)s, %(from_place)s)
 ORDER BY lent_at, place
 LIMIT %(limit)s
"""
_CLIENTS = """
SELECT oauth_client_id, workspace_id, environment_id, connector, client_id, has_secret, registered_at, registered_by
  FROM oauth_clients
 WHERE oauth_client_id > %(after)s AND removed_at IS NULL
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
 ORDER BY oauth_client_id
 LIMIT %(limit)s
"""


class ConnectionState(Struct, frozen=True, kw_only=True):
    """`standing`: `new` until somebody gives access, `reconnect_needed` when somebody has to give it again.

    `expires_at` is when the credential is renewed by itself; `reason` says why it is not connected.
    """

    connection_id: ConnectionId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    name: str
    auth: AuthKind
    grant: OAuthGrant | None
    config: dict[str, str]
    requested_scopes: list[str]
    granted_scopes: list[str]
    standing: ShownStanding
    reason: str
    expires_at: Instant | None


class ConnectionView(ConnectionState, frozen=True, kw_only=True):
    created_at: Instant
    created_by: PrincipalId
    authorized_at: Instant | None
    authorized_by: PrincipalId | None


class ConnectionRow(Struct, frozen=True, kw_only=True):
    connection_id: ConnectionId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    name: str
    auth: str
    grant: str | None
    config: dict[str, str]
    requested_scopes: list[str]
    granted_scopes: list[str]
    standing: str
    reason: str
    expires_at: datetime | None
    created_at: datetime
    created_by: PrincipalId
    authorized_at: datetime | None
    authorized_by: PrincipalId | None
    created_sequence: int

    def view(self) -> ConnectionView:
        shown: dict[str, Any] = {name: getattr(self, name) for name in ConnectionView.__struct_fields__}
        kinds = {"auth": AuthKind(self.auth), "grant": OAuthGrant(self.grant) if self.grant else None}
        return ConnectionView(**(shown | kinds))


class UseView(Struct, frozen=True, kw_only=True):
    """The credential was lent for one attempt of one call. `secret_version` tells one credential from the next."""

    run_id: RunId
    call_id: CallId
    attempt: int
    tool: str
    scopes: list[str]
    purpose: Purpose
    secret_version: int
    worker: str
    lent_at: Instant
    lent_until: Instant


class UseRow(Struct, frozen=True, kw_only=True):
    lent_at: datetime
    place: int
    lent_until: datetime
    secret_version: int
    tool: str
    scopes: list[str]
    run_id: RunId
    call_id: CallId
    attempt: int
    purpose: Purpose
    worker: str

    def view(self) -> UseView:
        return UseView(**{name: getattr(self, name) for name in UseView.__struct_fields__})


class OAuthClientView(Struct, frozen=True, kw_only=True):
    """Our registration at a connector's provider. `client_id` is public; a secret is never shown."""

    oauth_client_id: OAuthClientId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    client_id: str
    has_secret: bool
    registered_at: Instant
    registered_by: PrincipalId


class Listed(Struct, frozen=True, kw_only=True):
    where: Within
    after: int
    limit: int
    connector: str | None = None
    standing: str | None = None


async def connection(tx: SqlTx, connection_id: str) -> ConnectionRow | None:
    """Also one that is deleted."""
    return await tx.row(_ONE, {"connection_id": connection_id}, ConnectionRow)


async def listed(tx: SqlTx, wanted: Listed) -> list[ConnectionRow]:
    return await tx.rows(
        _LISTED,
        {
            "after": wanted.after,
            "limit": wanted.limit,
            "connector": wanted.connector,
            "standing": wanted.standing,
            **_place(wanted.where),
        },
        ConnectionRow,
    )


async def uses(tx: SqlTx, connection_id: str, from_at: datetime, from_place: int, limit: int) -> list[UseRow]:
    """Past that place, oldest first."""
    wanted = {"connection_id": connection_id, "from_at": from_at, "from_place": from_place, "limit": limit}
    return await tx.rows(_USES, wanted, UseRow)


async def clients(tx: SqlTx, where: Within, after: str, limit: int) -> list[OAuthClientView]:
    return await tx.rows(_CLIENTS, {"after": after, "limit": limit, **_place(where)}, OAuthClientView)


def state_of(account: Account) -> ConnectionState:
    standing: Standing = account.standing
    return ConnectionState(
        connection_id=account.connection_id,
        workspace_id=account.workspace_id,
        environment_id=account.environment_id,
        connector=account.connector,
        name=account.name,
        auth=account.auth,
        grant=account.grant,
        config=account.config,
        requested_scopes=list(account.requested),
        granted_scopes=list(account.granted),
        standing=standing,
        reason=account.reason,
        expires_at=account.expires_at,
    )


def _place(where: Within) -> dict[str, Any]:
    return {
        "workspaces": list(where.workspaces) if where.workspaces is not None else None,
        "environment": where.environment,
    }
