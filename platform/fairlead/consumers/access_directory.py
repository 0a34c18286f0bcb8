"""Who is in a tenant and what they hold: lists of principals, roles, keys, workspaces and environments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairlead.domain.envelope import Kind
from fairlead.domain.tenants import events as t
from fairlead.ports import AnyRecorded, SqlTx

NAME = "access_directory"
KINDS: tuple[Kind, ...] = ("tenant",)
TABLES: tuple[str, ...] = ("tenants", "workspaces", "environments", "principals", "grants", "api_keys")

_TENANT = """
INSERT INTO tenants (tenant_id, name, created_at, stream_version)
VALUES (%(tenant)s, %(name)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_SUSPENDED = """
UPDATE tenants SET suspended_at = %(suspended_at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND stream_version < %(version)s
"""
_TOOL_CAP = """
UPDATE tenants SET tool_cap = %(cap)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND stream_version < %(version)s
"""
_WORKSPACE = """
INSERT INTO workspaces (tenant_id, workspace_id, name, created_at, stream_version)
VALUES (%(tenant)s, %(workspace_id)s, %(name)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_ENVIRONMENT = """
INSERT INTO environments (tenant_id, environment_id, name, kind, created_at, stream_version)
VALUES (%(tenant)s, %(environment_id)s, %(name)s, %(kind)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_PRINCIPAL = """
INSERT INTO principals (
    tenant_id, principal_id, kind, name, email, issuer, subject, workflow_id, created_at, stream_version)
VALUES (%(tenant)s, %(principal_id)s, %(kind)s, %(name)s, %(email)s, %(issuer)s, %(subject)s, %(workflow_id)s, %(at)s,
        %(version)s)
    ON CONFLICT DO NOTHING
"""
_DISABLED = """
UPDATE principals
   SET disabled_at = %(disabled_at)s, disabled_reason = %(reason)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND principal_id = %(principal_id)s AND stream_version < %(version)s
"""
_GRANT = """
INSERT INTO grants AS g (
    tenant_id, principal_id, role, workspace_id, environment_id, held, changed_at, stream_version)
VALUES (%(tenant)s, %(principal_id)s, %(role)s, %(workspace_id)s, %(environment_id)s, %(held)s, %(at)s, %(version)s)
    ON CONFLICT (tenant_id, principal_id, role, workspace_id, environment_id) DO UPDATE
   SET held = excluded.held, changed_at = excluded.changed_at, stream_version = excluded.stream_version
 WHERE g.stream_version < excluded.stream_version
"""
_KEY = """
INSERT INTO api_keys (
    tenant_id, key_hash, key_id, principal_id, environment_id, name, last_four, scopes, issued_at, expires_at,
    stream_version)
VALUES (%(tenant)s, %(hash)s, %(key_id)s, %(principal_id)s, %(environment_id)s, %(name)s, %(last_four)s, %(scopes)s,
        %(issued_at)s, %(expires_at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
# The new key takes over name, scopes and environment; the old one ends with the overlap at the latest.
_KEY_ROTATED = """
WITH old AS (
    UPDATE api_keys
       SET expires_at = least(expires_at, %(overlap_until)s), replaced_by = %(new_key_id)s, stream_version = %(version)s
     WHERE tenant_id = %(tenant)s AND key_id = %(key_id)s AND stream_version < %(version)s
    RETURNING principal_id, environment_id, name, scopes
)
INSERT INTO api_keys (
    tenant_id, key_hash, key_id, principal_id, environment_id, name, last_four, scopes, issued_at, expires_at,
    stream_version)
SELECT %(tenant)s, %(hash)s, %(new_key_id)s, principal_id, environment_id, name, %(last_four)s, scopes, %(rotated_at)s,
       %(expires_at)s, %(version)s
  FROM old
    ON CONFLICT DO NOTHING
"""
_KEY_REVOKED = """
UPDATE api_keys SET revoked_at = %(revoked_at)s, revoked_reason = %(reason)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND key_id = %(key_id)s AND stream_version < %(version)s
"""

_Said = tuple[str, dict[str, Any]]  # a statement and its parameters besides tenant, time and version


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {"tenant": commit.tenant_id, "at": commit.at, "version": version}
            if not isinstance(event, _OF_OTHERS):
                statement, said = _SAID[type(event)](event, place)
                await tx.run(statement, place | said)


def _person(event: t.PersonAdded, _: Any) -> _Said:
    subject = event.subject
    return _PRINCIPAL, _NOBODY | {
        "principal_id": event.principal_id,
        "kind": "person",
        "name": event.display_name,
        "email": event.email,
        "issuer": subject and subject.issuer,
        "subject": subject and subject.subject,
    }


def _service_account(event: t.ServiceAccountCreated, _: Any) -> _Said:
    return _PRINCIPAL, _NOBODY | {"principal_id": event.principal_id, "kind": "service_account", "name": event.name}


def _agent(event: t.AgentCreated, _: Any) -> _Said:
    return _PRINCIPAL, _NOBODY | {
        "principal_id": event.principal_id,
        "kind": "agent",
        "name": event.name,
        "workflow_id": event.workflow_id,
    }


def _grant(event: t.RoleGranted | t.RoleWithdrawn, _: Any) -> _Said:
    return _GRANT, {
        "principal_id": event.principal_id,
        "role": event.grant.role,
        "workspace_id": event.grant.workspace_id or "",
        "environment_id": event.grant.environment_id or "",
        "held": isinstance(event, t.RoleGranted),
    }


def _key(event: t.KeyIssued, _: Any) -> _Said:
    fields = _fields(event)
    return _KEY, fields | {"scopes": None if event.scopes is None else list(event.scopes)}


def _disabled(event: t.PrincipalDisabled, place: Mapping[str, Any]) -> _Said:
    return _DISABLED, _fields(event) | {"disabled_at": place["at"]}


def _enabled(event: t.PrincipalEnabled, _: Any) -> _Said:
    return _DISABLED, _fields(event) | {"disabled_at": None, "reason": None}


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


_OF_OTHERS = (  # shown by others, or from the log
    t.ConnectorEnabled,
    t.ConnectorPinned,
    t.ConnectorDisabled,
    t.PolicyChosen,
    t.BudgetsKept,
    t.ApprovingDelegated,
    t.DelegationRevoked,
)
_NOBODY: dict[str, Any] = {"email": None, "issuer": None, "subject": None, "workflow_id": None}
_SAID: Mapping[type, Callable[[Any, Mapping[str, Any]], _Said]] = {
    t.TenantCreated: lambda event, _: (_TENANT, _fields(event)),
    t.TenantSuspended: lambda _, place: (_SUSPENDED, {"suspended_at": place["at"]}),
    t.TenantReactivated: lambda *_: (_SUSPENDED, {"suspended_at": None}),
    t.ToolCapChanged: lambda event, _: (_TOOL_CAP, _fields(event)),
    t.WorkspaceCreated: lambda event, _: (_WORKSPACE, _fields(event)),
    t.EnvironmentCreated: lambda event, _: (_ENVIRONMENT, _fields(event)),
    t.PersonAdded: _person,
    t.ServiceAccountCreated: _service_account,
    t.AgentCreated: _agent,
    t.RoleGranted: _grant,
    t.RoleWithdrawn: _grant,
    t.PrincipalDisabled: _disabled,
    t.PrincipalEnabled: _enabled,
    t.KeyIssued: _key,
    t.KeyRotated: lambda event, _: (_KEY_ROTATED, _fields(event)),
    t.KeyRevoked: lambda event, _: (_KEY_REVOKED, _fields(event)),
}
