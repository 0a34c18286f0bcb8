"""One use of a connection: who wants it and for what, and what is lent for it."""

from typing import Literal

from fairlead_sdk.outbound import Connection, Credential
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.ids import CallId, ConnectionId, RunId
from fairlead.domain.instant import Instant

Purpose = Literal["call", "preview", "verify", "compensate"]


class Use(Struct, frozen=True, kw_only=True):
    """`connection` is the name in the workflow's document, None for the only one of the connector there."""

    tenant_id: TenantId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    connection: str | None
    tool: str
    scopes: tuple[str, ...]
    run_id: RunId
    call_id: CallId
    attempt: int
    purpose: Purpose = "call"


class Lent(Struct, frozen=True, kw_only=True):
    """For one call and no longer than until `expires_at`. `connection` is what the tool may see: no credential."""

    connection_id: ConnectionId
    connection: Connection
    credential: Credential | None  # None for an account without authentication
    expires_at: Instant
    generation: str = ""  # of the account, see `Seen`


class Seen(Struct, frozen=True, kw_only=True):
    """An account that would be lent. Its `generation` is another one after anything about it has changed."""

    connection: Connection
    generation: str = ""
