"""Whether a principal may do something with a connection, where the connection is."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Meta

from fairlead.api.acting import Act
from fairlead.api.connection_views import ConnectionRow, connection
from fairlead.api.guards import check_place
from fairlead.api.parts import ApiParts
from fairlead.api.workflows import named_workspace
from fairlead.domain.connections.errors import ConnectionNotFound
from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import ConnectionId
from fairlead.domain.tenants.errors import EnvironmentUnknown, WorkspaceUnknown
from fairlead.handling.starting import EnvironmentNeeded

MAX_SCOPES = 100
Id = Annotated[str, Meta(max_length=64)]
ScopeName = Annotated[str, Meta(min_length=1, max_length=200)]
ScopeNames = Annotated[list[ScopeName], Meta(max_length=MAX_SCOPES)]


async def managed(parts: ApiParts, act: Act, connection_id: str) -> tuple[StreamRef, Account]:
    """From the log, as of now, for one who may manage it. Raises ConnectionNotFound, Denied."""
    stream = StreamRef(act.tenant_id, "connection", ConnectionId(connection_id))
    state = (await parts.handler.load(stream)).state
    if not isinstance(state, Account):
        raise ConnectionNotFound("no such connection")
    check_manage(act.principal, state.workspace_id, state.environment_id)
    return stream, state


async def readable(parts: ApiParts, principal: Principal, connection_id: str) -> ConnectionRow:
    """From the read model, also one that is deleted. Raises ConnectionNotFound."""
    async with parts.database.read(principal.tenant_id) as tx:
        row = await connection(tx, connection_id)
    if row is None or not may(principal, Permission.CONNECTION_READ, row.workspace_id, row.environment_id):
        raise ConnectionNotFound("no such connection")
    return row


def place_for_new(act: Act, workspace: str | None, environment: str | None) -> tuple[WorkspaceId, EnvironmentId]:
    """Where something is to be made: what is named, else the workspace `default` and the key's own environment.

    Raises WorkspaceUnknown, EnvironmentUnknown, EnvironmentNeeded, Denied.
    """
    workspace_id = named_workspace(act.tenant, workspace)
    if workspace_id is None:
        raise WorkspaceUnknown("no such workspace")
    environment_id = EnvironmentId(environment) if environment else act.principal.environment_id
    if environment_id is None:
        raise EnvironmentNeeded("name one of the tenant's environments")
    if environment_id not in act.tenant.environments:
        raise EnvironmentUnknown("no such environment")
    check_manage(act.principal, workspace_id, environment_id)
    return workspace_id, environment_id


def check_manage(principal: Principal, workspace_id: WorkspaceId, environment_id: EnvironmentId) -> None:
    check_place(principal, Permission.CONNECTION_MANAGE, Permission.CONNECTION_READ, workspace_id, environment_id)
