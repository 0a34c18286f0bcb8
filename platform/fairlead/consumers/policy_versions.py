"""Policies with every version ever published of them, and which of them is in force."""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.rows import as_json, printable
from fairlead.domain.envelope import Kind
from fairlead.domain.policies import PolicyPublished
from fairlead.domain.tenants.events import PolicyChosen
from fairlead.ports import AnyRecorded, SqlTx

NAME = "policy_versions"
KINDS: tuple[Kind, ...] = ("policy", "tenant")
TABLES: tuple[str, ...] = ("policies", "policy_versions")

_POLICY = """
INSERT INTO policies AS p (tenant_id, policy_id, workspace_id, workflow, newest_version, stream_version)
VALUES (%(tenant)s, %(policy_id)s, %(workspace_id)s, %(workflow)s, %(number)s, %(version)s)
    ON CONFLICT (tenant_id, policy_id) DO UPDATE
   SET newest_version = excluded.newest_version, stream_version = excluded.stream_version
 WHERE p.stream_version < excluded.stream_version
"""
_VERSION = """
INSERT INTO policy_versions (
    tenant_id, policy_id, version, document, document_hash, author_kind, author_id, reason, published_at,
    stream_version)
VALUES (%(tenant)s, %(policy_id)s, %(number)s, %(document)s::jsonb, %(document_hash)s, %(author_kind)s, %(author_id)s,
        %(reason)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_CHOSEN = """
INSERT INTO policies AS p (
    tenant_id, policy_id, workspace_id, workflow, enforced_version, tried_version, chosen_at, chosen_by_kind,
    chosen_by_id, chosen_reason, tenant_version)
VALUES (%(tenant)s, %(policy_id)s, %(workspace_id)s, %(workflow)s, %(enforced)s, %(tried)s, %(at)s, %(author_kind)s,
        %(author_id)s, %(reason)s, %(version)s)
    ON CONFLICT (tenant_id, policy_id) DO UPDATE
   SET enforced_version = excluded.enforced_version, tried_version = excluded.tried_version,
       chosen_at = excluded.chosen_at, chosen_by_kind = excluded.chosen_by_kind, chosen_by_id = excluded.chosen_by_id,
       chosen_reason = excluded.chosen_reason, tenant_version = excluded.tenant_version
 WHERE p.tenant_version < excluded.tenant_version
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {
                "tenant": commit.tenant_id,
                "at": commit.at,
                "author_kind": commit.actor.kind,
                "author_id": commit.actor.id,
                "version": version,
            }
            if isinstance(event, PolicyPublished):
                await _publish(event, place | {"policy_id": commit.stream_id}, tx)
            elif isinstance(event, PolicyChosen):
                await tx.run(_CHOSEN, place | _said(event) | {"policy_id": event.policy_id})


async def _publish(event: PolicyPublished, place: dict[str, Any], tx: SqlTx) -> None:
    said = place | _said(event) | {"number": event.version, "document": as_json(event.document)}
    await tx.run(_POLICY, said)
    await tx.run(_VERSION, said)


def _said(event: PolicyPublished | PolicyChosen) -> dict[str, Any]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name not in ("document", "version")}
    return fields | {"reason": printable(event.reason)}
