"""Connections and the registrations behind them, as they are now."""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.rows import as_json, printable
from fairlead.domain.connections import events as e
from fairlead.domain.connections.clients import OAuthClientRegistered, OAuthClientRemoved
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyCommit, AnyRecorded, SqlTx

NAME = "connections"
KINDS: tuple[Kind, ...] = ("connection", "oauth_client")
TABLES: tuple[str, ...] = ("connections", "oauth_clients")

# A name that was deleted may be created again: the row begins anew.
_CREATED = """
INSERT INTO connections AS c (
    tenant_id, connection_id, workspace_id, environment_id, connector, name, auth, oauth_grant, config, requested,
    granted, standing, created_at, created_by, created_sequence, changed_at, stream_version)
SELECT %(tenant)s, %(id)s, r.workspace_id, r.environment_id, r.connector, r.name, r.auth, r."grant", r.config, r.scopes,
       CASE WHEN r.auth = 'none' THEN r.scopes ELSE '{}' END, CASE WHEN r.auth = 'none' THEN 'connected' ELSE 'new' END,
       %(at)s, %(by)s, %(sequence)s, %(at)s, %(version)s
  FROM json_to_recordset(%(rows)s) AS r (
       workspace_id text, environment_id text, connector text, name text, auth text, "grant" text, config jsonb,
       scopes text[])
    ON CONFLICT (tenant_id, connection_id) DO UPDATE
   SET connector = excluded.connector, auth = excluded.auth, oauth_grant = excluded.oauth_grant,
       config = excluded.config, requested = excluded.requested, granted = excluded.granted,
       standing = excluded.standing, reason = '', secret_version = 0, expires_at = NULL, authorized_at = NULL,
       authorized_by = NULL, created_at = excluded.created_at, created_by = excluded.created_by,
       created_sequence = excluded.created_sequence, changed_at = excluded.changed_at,
       stream_version = excluded.stream_version
 WHERE c.stream_version < excluded.stream_version
"""
_AUTHORIZED = """
UPDATE connections
   SET standing = 'connected', reason = '', requested = %(requested)s, granted = %(granted)s,
       secret_version = %(secret_version)s, expires_at = %(expires_at)s, authorized_at = %(at)s, authorized_by = %(by)s,
       changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND connection_id = %(id)s AND stream_version < %(version)s
"""
_REFRESHED = """
UPDATE connections
   SET standing = 'connected', reason = '', secret_version = %(secret_version)s, expires_at = %(expires_at)s,
       changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND connection_id = %(id)s AND stream_version < %(version)s
"""
_SCOPES = """
UPDATE connections
   SET granted = %(granted)s, changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND connection_id = %(id)s AND stream_version < %(version)s
"""
_STANDING = """
UPDATE connections
   SET standing = %(standing)s, reason = %(reason)s, changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND connection_id = %(id)s AND stream_version < %(version)s
"""
_REGISTERED = """
INSERT INTO oauth_clients AS c (
    tenant_id, oauth_client_id, workspace_id, environment_id, connector, client_id, has_secret, registered_at,
    registered_by, stream_version)
VALUES (%(tenant)s, %(id)s, %(workspace_id)s, %(environment_id)s, %(connector)s, %(client_id)s, %(has_secret)s, %(at)s,
        %(by)s, %(version)s)
    ON CONFLICT (tenant_id, oauth_client_id) DO UPDATE
   SET client_id = excluded.client_id, has_secret = excluded.has_secret, registered_at = excluded.registered_at,
       registered_by = excluded.registered_by, removed_at = NULL, stream_version = excluded.stream_version
 WHERE c.stream_version < excluded.stream_version
"""
_REMOVED = """
UPDATE oauth_clients SET removed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND oauth_client_id = %(id)s AND stream_version < %(version)s
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {**_place(commit), "sequence": recorded.sequence, "version": version}
            if (said := _said(event)) is not None:
                statement, values = said
                await tx.run(statement, place | values)


def _place(commit: AnyCommit) -> dict[str, Any]:
    return {"tenant": commit.tenant_id, "id": commit.stream_id, "at": commit.at, "by": commit.actor.id}


def _said(event: Any) -> tuple[str, dict[str, Any]] | None:
    match event:
        case e.ConnectionCreated():
            return _CREATED, {"rows": as_json([event])}
        case e.ConnectionAuthorized(requested=requested, granted=granted):
            given = {"requested": _texts(requested), "granted": _texts(granted)}
            return _AUTHORIZED, {"secret_version": event.secret_version, "expires_at": event.expires_at, **given}
        case e.ConnectionRefreshed():
            return _REFRESHED, {"secret_version": event.secret_version, "expires_at": event.expires_at}
        case e.ConnectionScopesChanged(granted=granted):
            return _SCOPES, {"granted": _texts(granted)}
        case e.ConnectionSecretErased():
            return None
        case e.ConnectionReconnectNeeded() | e.ConnectionRevoked() | e.ConnectionDeleted():
            return _STANDING, {"standing": _STANDINGS[type(event)], "reason": printable(event.reason)}
        case OAuthClientRegistered():
            plain = {name: getattr(event, name) for name in ("workspace_id", "environment_id", "connector")}
            secret = {"client_id": printable(event.client_id), "has_secret": event.secret_version is not None}
            return _REGISTERED, plain | secret
        case OAuthClientRemoved():
            return _REMOVED, {}
    raise AssertionError("every event of these kinds is above")


_STANDINGS = {
    e.ConnectionReconnectNeeded: "reconnect_needed",
    e.ConnectionRevoked: "revoked",
    e.ConnectionDeleted: "deleted",
}


def _texts(scopes: Sequence[str]) -> list[str]:
    return [printable(scope) for scope in scopes]
