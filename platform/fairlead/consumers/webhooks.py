"""Webhooks as they are now. What they were sent is not a read model: its tables are those of whoever sends."""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.rows import printable
from fairlead.domain.envelope import Kind
from fairlead.domain.webhooks import events as e
from fairlead.domain.webhooks.filters import Filter
from fairlead.ports import AnyRecorded, SqlTx

NAME = "webhooks"
KINDS: tuple[Kind, ...] = ("webhook",)
TABLES: tuple[str, ...] = ("webhooks",)

_CREATED = """
INSERT INTO webhooks (
    tenant_id, webhook_id, url, description, events, workspace_id, environment_id, workflow_id, status, created_at,
    created_by, created_sequence, changed_at, stream_version)
VALUES (%(tenant)s, %(id)s, %(url)s, %(description)s, %(events)s, %(workspace_id)s, %(environment_id)s,
        %(workflow_id)s, 'enabled', %(at)s, %(by)s, %(sequence)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_CHANGED = """
UPDATE webhooks
   SET url = %(url)s, description = %(description)s, events = %(events)s, workspace_id = %(workspace_id)s,
       environment_id = %(environment_id)s, workflow_id = %(workflow_id)s, changed_at = %(at)s,
       stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND webhook_id = %(id)s AND stream_version < %(version)s
"""
_ROTATED = """
UPDATE webhooks SET overlap_until = %(overlap_until)s, changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND webhook_id = %(id)s AND stream_version < %(version)s
"""
_STATUS = """
UPDATE webhooks
   SET status = %(status)s, disabled_by = %(disabled_by)s, reason = %(reason)s, changed_at = %(at)s,
       stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND webhook_id = %(id)s AND stream_version < %(version)s
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Rare, so statement by statement."""
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            if (said := _said(event)) is not None:
                statement, values = said
                place = {
                    "tenant": commit.tenant_id,
                    "id": commit.stream_id,
                    "at": commit.at,
                    "by": commit.actor.id,
                    "sequence": recorded.sequence,
                    "version": version,
                }
                await tx.run(statement, place | values)


def _said(event: e.WebhookEvent) -> tuple[str, dict[str, Any]] | None:
    match event:
        case e.WebhookCreated():
            return _CREATED, _told(event.url, event.description, event.filter)
        case e.WebhookChanged():
            return _CHANGED, _told(event.url, event.description, event.filter)
        case e.WebhookSecretRotated(overlap_until=until):
            return _ROTATED, {"overlap_until": until}
        case e.WebhookDisabled(by=by, reason=reason):
            return _STATUS, {"status": "disabled", "disabled_by": by, "reason": printable(reason)}
        case e.WebhookEnabled():
            return _STATUS, {"status": "enabled", "disabled_by": None, "reason": ""}
        case e.WebhookRemoved(reason=reason):
            return _STATUS, {"status": "removed", "disabled_by": None, "reason": printable(reason)}
        case e.WebhookTestRequested() | e.WebhookReplayRequested() | e.WebhookRedeliveryRequested():
            return None


def _told(url: str, description: str, wanted: Filter) -> dict[str, Any]:
    return {
        "url": printable(url),
        "description": printable(description),
        "events": list(wanted.events),
        "workspace_id": wanted.workspace_id,
        "environment_id": wanted.environment_id,
        "workflow_id": wanted.workflow_id,
    }
