"""What each webhook has been told and what waits, in PostgreSQL. Written by the one process that holds the webhook.

Every change asks whether the process still holds it: one that was thought dead changes nothing any more.
"""

from typing import LiteralString

import msgspec
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.ids import WebhookId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.deliveries import Attempt, Fed, HoldLost, Standing, Tally
from fairlead.domain.webhooks.lanes import Waiting
from fairlead.ports import SqlDatabase, SqlTx

MAX_HISTORY = 5_000  # deliveries of a webhook that are over and still listed

_TAKE = """
INSERT INTO webhook_feeds AS f (tenant_id, webhook_id, fed_to, acted_on, holder, held_until)
VALUES (%(tenant)s, %(webhook)s, %(from)s, %(from)s, %(holder)s, now() + %(lease_s)s * interval '1 second')
    ON CONFLICT (tenant_id, webhook_id) DO UPDATE
   SET holder = excluded.holder, held_until = excluded.held_until
 WHERE f.holder IS NULL OR f.holder = excluded.holder OR f.held_until < now()
RETURNING fed_to, last_number, acted_on, failing_since
"""
_KEEP = """
UPDATE webhook_feeds SET held_until = now() + %(lease_s)s * interval '1 second'
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND holder = %(holder)s
RETURNING last_number
"""
_LET_GO = """
UPDATE webhook_feeds SET holder = NULL, held_until = now()
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND holder = %(holder)s
"""
_WAITING = """
SELECT number, sequence, index, event_type, lane, attempts, due_at, first_failed_at
  FROM webhook_deliveries
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND status = 'waiting'
 ORDER BY number
"""
_FEED = """
UPDATE webhook_feeds SET fed_to = %(fed_to)s, last_number = %(last)s, acted_on = %(acted_on)s
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND holder = %(holder)s
RETURNING last_number
"""
_QUEUE = """
INSERT INTO webhook_deliveries (
    tenant_id, webhook_id, number, sequence, index, event_type, lane, status, queued_at, due_at)
SELECT %(tenant)s, %(webhook)s, r.number, r.sequence, r.index, r.event_type, r.lane, 'waiting', now(), r.due_at
  FROM json_to_recordset(%(rows)s) AS r (
       number bigint, sequence bigint, index integer, event_type text, lane text, due_at timestamptz)
"""
_FORGET_OLD = """
DELETE FROM webhook_deliveries
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND number <= %(before)s AND status <> 'waiting'
"""
_UNQUEUE = """
DELETE FROM webhook_deliveries
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND sequence > %(after)s AND status = 'waiting'
"""
_ATTEMPTED = """
UPDATE webhook_deliveries
   SET status = %(status)s, attempts = attempts + 1, attempted_at = now(), took_ms = %(took_ms)s,
       answer_status = %(answer)s, error = %(error)s, due_at = coalesce(%(due_at)s, due_at),
       first_failed_at = CASE WHEN %(status)s = 'delivered' THEN first_failed_at
                              ELSE coalesce(first_failed_at, %(now)s) END
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND number = %(number)s AND status = 'waiting'
"""
_ANSWERED = """
UPDATE webhook_feeds SET failing_since = NULL, last_error = NULL, answered_at = now()
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND holder = %(holder)s
RETURNING last_number
"""
_FAILED = """
UPDATE webhook_feeds SET failing_since = coalesce(failing_since, %(now)s), last_error = %(error)s
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND holder = %(holder)s
RETURNING last_number
"""
_DROP = """
UPDATE webhook_deliveries SET status = 'dropped', error = %(error)s
 WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s AND number = %(number)s AND status = 'waiting'
"""
_FORGET_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s
"""
_FORGET_FEED = """
DELETE FROM webhook_feeds WHERE tenant_id = %(tenant)s AND webhook_id = %(webhook)s
"""
_TELL = """
INSERT INTO webhook_workers AS w (worker_id, waiting, failing, disabled, delivered, failed)
VALUES (%(worker)s, %(waiting)s, %(failing)s, %(disabled)s, %(delivered)s, %(failed)s)
    ON CONFLICT (worker_id) DO UPDATE
   SET waiting = excluded.waiting, failing = excluded.failing, disabled = excluded.disabled,
       delivered = excluded.delivered, failed = excluded.failed, told_at = now()
"""
_FORGET_WORKERS = "DELETE FROM webhook_workers WHERE told_at < now() - interval '1 hour'"

_encode = msgspec.json.Encoder().encode


class _Number(Struct, frozen=True):
    last_number: int


class PostgresWebhookBook:
    """Implements `workers.webhooks.book.Book`. `database` is connected as the role for requests."""

    def __init__(self, database: SqlDatabase, holder: str) -> None:
        self._database = database
        self._holder = holder

    async def take(
        self, tenant_id: TenantId, webhook_id: WebhookId, start: int, lease_s: float
    ) -> tuple[Standing, list[Waiting]] | None:
        place = self._place(tenant_id, webhook_id)
        async with self._database.tenant(tenant_id) as tx:
            standing = await tx.row(_TAKE, place | {"from": start, "lease_s": lease_s}, Standing)
            if standing is None:
                return None
            return standing, await tx.rows(_WAITING, place, Waiting)

    async def keep(self, tenant_id: TenantId, webhook_id: WebhookId, lease_s: float) -> None:
        async with self._database.tenant(tenant_id) as tx:
            await _held(tx, _KEEP, self._place(tenant_id, webhook_id) | {"lease_s": lease_s})

    async def let_go(self, tenant_id: TenantId, webhook_id: WebhookId) -> None:
        async with self._database.tenant(tenant_id) as tx:
            await tx.run(_LET_GO, self._place(tenant_id, webhook_id))

    async def feed(self, tenant_id: TenantId, webhook_id: WebhookId, fed: Fed) -> None:
        place = self._place(tenant_id, webhook_id)
        async with self._database.tenant(tenant_id) as tx:
            await _held(tx, _FEED, place | {"fed_to": fed.fed_to, "last": fed.last_number, "acted_on": fed.acted_on})
            if fed.back_to is not None:
                await tx.run(_UNQUEUE, place | {"after": fed.back_to})
            if fed.waiting:
                await tx.run(_QUEUE, place | {"rows": _encode(fed.waiting).decode()})
                await tx.run(_FORGET_OLD, place | {"before": fed.last_number - MAX_HISTORY})

    async def waiting(self, tenant_id: TenantId, webhook_id: WebhookId) -> list[Waiting]:
        async with self._database.read(tenant_id) as tx:
            return await tx.rows(_WAITING, self._place(tenant_id, webhook_id), Waiting)

    async def delivered(self, tenant_id: TenantId, webhook_id: WebhookId, number: int, attempt: Attempt) -> None:
        place = self._place(tenant_id, webhook_id)
        async with self._database.tenant(tenant_id) as tx:
            await _held(tx, _ANSWERED, place)
            await tx.run(_ATTEMPTED, place | _attempt(number, attempt, "delivered", None))

    async def failed(
        self,
        tenant_id: TenantId,
        webhook_id: WebhookId,
        number: int,
        attempt: Attempt,
        due_at: Instant,
    ) -> None:
        place = self._place(tenant_id, webhook_id)
        async with self._database.tenant(tenant_id) as tx:
            await _held(tx, _FAILED, place | {"now": attempt.at, "error": attempt.error})
            await tx.run(_ATTEMPTED, place | _attempt(number, attempt, "waiting", due_at))

    async def dropped(self, tenant_id: TenantId, webhook_id: WebhookId, number: int, error: str) -> None:
        place = self._place(tenant_id, webhook_id)
        async with self._database.tenant(tenant_id) as tx:
            await tx.run(_DROP, place | {"number": number, "error": error})

    async def forget(self, tenant_id: TenantId, webhook_id: WebhookId) -> None:
        place = self._place(tenant_id, webhook_id)
        async with self._database.tenant(tenant_id) as tx:
            await tx.run(_FORGET_DELIVERIES, place)
            await tx.run(_FORGET_FEED, place)

    async def tell(self, tally: Tally) -> None:
        async with self._database.platform() as tx:
            await tx.run(_TELL, {"worker": self._holder, **msgspec.structs.asdict(tally)})
            await tx.run(_FORGET_WORKERS)

    def _place(self, tenant_id: TenantId, webhook_id: WebhookId) -> dict[str, object]:
        return {"tenant": tenant_id, "webhook": webhook_id, "holder": self._holder}


async def _held(tx: SqlTx, statement: LiteralString, params: dict[str, object]) -> None:
    """Raises HoldLost when another process has taken over."""
    if await tx.row(statement, params, _Number) is None:
        raise HoldLost


def _attempt(number: int, attempt: Attempt, status: str, due_at: Instant | None) -> dict[str, object]:
    return {
        "number": number,
        "status": status,
        "took_ms": attempt.took_ms,
        "answer": attempt.status,
        "error": attempt.error,
        "due_at": due_at,
        "now": attempt.at,
    }
