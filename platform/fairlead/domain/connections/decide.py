"""What a connection answers to a command. Pure: the state and the command are all there is."""

from collections.abc import Sequence

from fairlead.domain.connections import events as e
from fairlead.domain.connections.commands import (
    ConnectionCommand,
    CreateConnection,
    DeleteConnection,
    NeedReconnect,
    RecordErasure,
    RecordGrant,
    RecordRefresh,
    RevokeConnection,
)
from fairlead.domain.connections.errors import AuthorizationOutdated, ConnectionExists, ConnectionNotFound
from fairlead.domain.connections.states import Absent, Account, ConnectionState
from fairlead.domain.redaction import redact_text
from fairlead.domain.tenants import limits

MAX_REASON_CODE = 100


def decide(command: ConnectionCommand, state: ConnectionState) -> list[e.ConnectionEvent]:
    """Say what happens. Raises ConnectionExists, ConnectionNotFound, AuthorizationOutdated, Invalid."""
    match command, state:
        case CreateConnection(created=created), Absent():
            return [created]
        case CreateConnection(created=created), Account():
            raise ConnectionExists(f"a connection {created.name} is there already")
        case RecordGrant(), _:
            return _authorized(command, state)
        case RecordRefresh() | NeedReconnect() | RecordErasure(), _:
            return _recorded(command, state) if command.lives == state.lives else []  # else it is of an earlier life
        case RevokeConnection() | DeleteConnection(), Absent():
            raise ConnectionNotFound("no such connection")
        case RevokeConnection(reason=reason), Account(standing=standing):
            return [] if standing == "revoked" else [e.ConnectionRevoked(reason=_said(reason))]
        case DeleteConnection(reason=reason), Account():
            return [e.ConnectionDeleted(reason=_said(reason))]
    raise AssertionError("every command meets every state above")


def _authorized(command: RecordGrant, state: ConnectionState) -> list[e.ConnectionEvent]:
    if isinstance(state, Absent) or state.lives != command.lives:
        raise AuthorizationOutdated("the connection was revoked or deleted meanwhile: begin again")
    if state.secret_version >= command.secret_version:
        return []  # somebody gave access after this was put into the vault
    authorized = e.ConnectionAuthorized(
        secret_version=command.secret_version,
        requested=command.requested,
        granted=command.granted,
        expires_at=command.expires_at,
    )
    return [authorized, *(_scopes(state.granted, command.granted) if state.secret_version else ())]


def _recorded(
    command: RecordRefresh | NeedReconnect | RecordErasure, state: ConnectionState
) -> list[e.ConnectionEvent]:
    if isinstance(command, RecordErasure):
        return [e.ConnectionSecretErased(told_provider=command.told_provider)]
    if isinstance(state, Absent) or state.standing not in ("connected", "reconnect_needed"):
        return []
    if isinstance(command, NeedReconnect):
        outdated = command.secret_version < state.secret_version or state.standing == "reconnect_needed"
        reason = redact_text(command.reason)[:MAX_REASON_CODE]
        return [] if outdated else [e.ConnectionReconnectNeeded(secret_version=command.secret_version, reason=reason)]
    if command.secret_version <= state.secret_version:
        return []
    refreshed = e.ConnectionRefreshed(secret_version=command.secret_version, expires_at=command.expires_at)
    return [refreshed, *_scopes(state.granted, command.granted)]


def _scopes(before: Sequence[str], granted: tuple[str, ...]) -> list[e.ConnectionEvent]:
    added = tuple(scope for scope in granted if scope not in before)
    withdrawn = tuple(scope for scope in before if scope not in granted)
    if not added and not withdrawn:
        return []
    return [e.ConnectionScopesChanged(granted=granted, added=added, withdrawn=withdrawn)]


def _said(reason: str) -> str:
    limits.check(limits.text("/reason", reason, limits.MAX_REASON))
    return redact_text(reason)
