"""Which connection a call uses, and whether it may: asked once before a call and again at the moment of effect."""

from collections.abc import Iterable, Mapping, Sequence

from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId

from fairlead.domain.connections.errors import (
    ConnectionAmbiguous,
    ConnectionMismatch,
    ConnectionNotFound,
    NeedsReconnect,
    ScopeMissing,
)
from fairlead.domain.connections.naming import connection_id
from fairlead.domain.connections.states import Absent, Account, ConnectionState
from fairlead.domain.connections.use import Use
from fairlead.domain.ids import ConnectionId

MAX_NAMED = 200


def name_for(tool: str, named: Mapping[str, str]) -> str | None:
    """What the workflow's `connections` say for a tool: what it says of the tool itself, else of its connector."""
    return named.get(tool) or named.get(tool.partition(".")[0])


def resolve(
    tenant_id: TenantId,
    workspace_id: WorkspaceId,
    environment_id: EnvironmentId,
    connector: str,
    name: str | None,
    there: Sequence[ConnectionId],
) -> ConnectionId:
    """The one that is named, else the only one there: `there` are the connector's in that workspace and environment.

    Raises ConnectionNotFound, ConnectionAmbiguous. A name is not looked up in `there`: the connection itself answers.
    """
    if name is not None:
        return connection_id(tenant_id, workspace_id, environment_id, name)
    if not there:
        raise ConnectionNotFound(f"{connector} has no connection in this workspace and environment: create one")
    if len(there) > 1:
        raise ConnectionAmbiguous(f"{connector} has several connections here: name one under `connections`")
    return there[0]


def usable(use: Use, state: ConnectionState) -> Account:
    """The account, if this use of it is in order as of this state.

    Raises ConnectionNotFound, ConnectionMismatch, NeedsReconnect, ScopeMissing.
    """
    if isinstance(state, Absent):
        raise ConnectionNotFound("no such connection in this workspace and environment")
    if (state.workspace_id, state.environment_id) != (use.workspace_id, use.environment_id):
        raise ConnectionNotFound("no such connection in this workspace and environment")
    if state.connector != use.connector:
        raise ConnectionMismatch(f"the connection {state.name} is for {state.connector}, not for {use.connector}")
    if state.standing != "connected":
        raise NeedsReconnect(state.connection_id, _why(state))
    if (missing := first_missing(use.scopes, state.granted)) is not None:
        raise ScopeMissing(state.connection_id, missing, f"the connection {state.name} was not granted {missing}")
    return state


def first_missing(needed: Iterable[str], granted: Iterable[str]) -> str | None:
    given = set(granted)
    return next((scope for scope in needed if scope not in given), None)


def _why(state: Account) -> str:
    match state.standing:
        case "new":
            return f"nobody has given access for the connection {state.name} yet"
        case "revoked":
            return f"the connection {state.name} was revoked"
        case _:
            return f"the connection {state.name} has to be given anew ({state.reason})"
