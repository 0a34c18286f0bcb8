"""Webhooks and their deliveries as the API shows them. There is no secret and no event's content in what is read."""

from datetime import datetime
from typing import Annotated, Literal

from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.api.commit_pages import Within
from fairlead.domain.envelope import position
from fairlead.domain.ids import WebhookId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.deliveries import Tally
from fairlead.ports import SqlDatabase, SqlTx

Status = Literal["enabled", "disabled"]
DeliveryStatus = Literal["waiting", "delivered", "dropped"]

_ONE = """
SELECT w.webhook_id, w.url, w.description, w.events, w.workspace_id, w.environment_id, w.workflow_id, w.status,
       w.disabled_by, w.reason, w.overlap_until, w.created_at, w.created_by, w.created_sequence, w.changed_at,
       f.failing_since, f.answered_at, f.last_error,
       (SELECT count(*) FROM webhook_deliveries AS d
         WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.webhook_id AND d.status = 'waiting') AS waiting
  FROM webhooks AS w
  LEFT JOIN webhook_feeds AS f ON f.tenant_id = w.tenant_id AND f.webhook_id = w.webhook_id
 WHERE w.webhook_id = %(webhook_id)s AND w.status <> 'removed'
"""
_LISTED = """
SELECT w.webhook_id, w.url, w.description, w.events, w.workspace_id, w.environment_id, w.workflow_id, w.status,
       w.disabled_by, w.reason, w.overlap_until, w.created_at, w.created_by, w.created_sequence, w.changed_at,
       f.failing_since, f.answered_at, f.last_error,
       (SELECT count(*) FROM webhook_deliveries AS d
         WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.webhook_id AND d.status = 'waiting') AS waiting
  FROM webhooks AS w
  LEFT JOIN webhook_feeds AS f ON f.tenant_id = w.tenant_id AND f.webhook_id = w.webhook_id
 WHERE w.created_sequence > %(after)s AND w.status <> 'removed'
   AND (%(workspaces)s::text[] IS NULL OR w.workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR w.environment_id IS NULL OR w.environment_id = %(environment)s)
   AND (%(status)s::text IS NULL OR w.status = %(status)s)
 ORDER BY w.created_sequence
 LIMIT %(limit)s
"""
_COUNT = "SELECT count(*) AS there FROM webhooks WHERE status <> 'removed'"
_DELIVERIES = """
SELECT number, sequence, index, event_type, lane, status, attempts, queued_at, due_at, attempted_at, took_ms,
       answer_status, error
  FROM webhook_deliveries
 WHERE webhook_id = %(webhook_id)s AND number < %(before)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(sequence)s::bigint IS NULL OR (sequence = %(sequence)s AND index = %(index)s))
 ORDER BY number DESC
 LIMIT %(limit)s
"""

# What a process said more than a minute ago it says no more: it has ended, or cannot reach us.
_TALLIES = """
SELECT coalesce(sum(waiting) FILTER (WHERE told_at > now() - interval '1 minute'), 0)::bigint AS waiting,
       coalesce(sum(failing) FILTER (WHERE told_at > now() - interval '1 minute'), 0)::bigint AS failing,
       coalesce(max(disabled) FILTER (WHERE told_at > now() - interval '1 minute'), 0)::bigint AS disabled,
       coalesce(sum(delivered), 0)::bigint AS delivered, coalesce(sum(failed), 0)::bigint AS failed
  FROM webhook_workers
"""


class WebhookView(Struct, frozen=True, kw_only=True):
    """`failing_since`: nothing has been taken since; `waiting` are events that are still to be sent.

    While `overlap_until` lies ahead, what is sent carries a signature of the secret before this one, too.
    """

    webhook_id: WebhookId
    url: str
    description: str
    events: list[str]
    workspace_id: WorkspaceId | None
    environment_id: EnvironmentId | None
    workflow_id: WorkflowId | None
    status: Status
    disabled_by: Literal["person", "failures", "gone"] | None
    reason: str
    overlap_until: Instant | None
    failing_since: Instant | None
    answered_at: Annotated[Instant | None, Meta(description="When an event was last taken.")]
    last_error: str | None
    waiting: int
    created_at: Instant
    created_by: PrincipalId
    changed_at: Instant


class Row(WebhookView, frozen=True, kw_only=True):
    created_sequence: int

    def view(self) -> WebhookView:
        return WebhookView(**{name: getattr(self, name) for name in WebhookView.__struct_fields__})


class DeliveryView(Struct, frozen=True, kw_only=True):
    """`number` counts what the webhook was ever told. `error` says how the last attempt failed."""

    number: int
    position: Annotated[str, Meta(description="Of the event; it is the `webhook-id` of the request.")]
    event_type: str
    run_id: str | None
    status: DeliveryStatus
    attempts: int
    queued_at: Instant
    next_attempt_at: Instant | None
    attempted_at: Instant | None
    took_ms: int | None
    answer_status: int | None
    error: str | None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    number: int
    sequence: int
    index: int
    event_type: str
    lane: str
    status: DeliveryStatus
    attempts: int
    queued_at: datetime
    due_at: datetime
    attempted_at: datetime | None
    took_ms: int | None
    answer_status: int | None
    error: str | None

    def view(self) -> DeliveryView:
        return DeliveryView(
            number=self.number,
            position=position(self.sequence, self.index),
            event_type=self.event_type,
            run_id=self.lane if self.lane.startswith("run_") else None,
            status=self.status,
            attempts=self.attempts,
            queued_at=self.queued_at,
            next_attempt_at=self.due_at if self.status == "waiting" else None,
            attempted_at=self.attempted_at,
            took_ms=self.took_ms,
            answer_status=self.answer_status,
            error=self.error or None,
        )


class _Count(Struct, frozen=True):
    there: int


async def tally(database: SqlDatabase) -> Tally:
    """Of all tenants and all processes together. Raises Unavailable."""
    async with database.platform() as tx:
        found = await tx.row(_TALLIES, None, Tally)
    assert found is not None, "sums are always there"
    return found


async def webhook(tx: SqlTx, webhook_id: str) -> Row | None:
    return await tx.row(_ONE, {"webhook_id": webhook_id}, Row)


async def listed(tx: SqlTx, where: Within, status: Status | None, after: int, limit: int) -> list[Row]:
    params = {
        "workspaces": None if where.workspaces is None else list(where.workspaces),
        "environment": where.environment,
        "status": status,
        "after": after,
        "limit": limit,
    }
    return await tx.rows(_LISTED, params, Row)


async def count(tx: SqlTx) -> int:
    found = await tx.row(_COUNT, None, _Count)
    return found.there if found else 0


class Deliveries(Struct, frozen=True, kw_only=True):
    """Which are asked for, the newest first."""

    webhook_id: str
    before: int
    limit: int
    status: DeliveryStatus | None = None
    sequence: int | None = None
    index: int | None = None


async def deliveries(tx: SqlTx, wanted: Deliveries) -> list[DeliveryRow]:
    params = {name: getattr(wanted, name) for name in Deliveries.__struct_fields__}
    return await tx.rows(_DELIVERIES, params, DeliveryRow)
