"""What calls of models and tools have cost, and how long people took who decided: a row for each fact that says so.

A fact is counted once, however often it comes: meters of all tenants together grow only by rows that are new.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct

from fairlead.consumers.expired_runs import delete_expired
from fairlead.consumers.rows import as_json, printable
from fairlead.consumers.usage_reviews import write_reviews
from fairlead.domain.envelope import Kind
from fairlead.domain.instant import Instant
from fairlead.domain.meters import BOUNDS_US
from fairlead.domain.runs import events as e
from fairlead.ports import AnyRecorded, SqlTx

NAME = "model_usage"
KINDS: tuple[Kind, ...] = ("run", "approval")
TABLES: tuple[str, ...] = ("usage_calls", "usage_charges", "usage_reviews", "model_meters", "model_hours")
HOURS_KEPT = timedelta(days=14)

_REQUESTED = """
INSERT INTO usage_calls (
    tenant_id, call_id, run_id, route, purpose, door, step, max_tokens, requested_at, stream_version)
SELECT %(tenant)s, r.call_id, r.run_id, r.route, r.purpose, r.door, r.step, r.max_tokens, r.at, r.version
  FROM json_to_recordset(%(rows)s) AS r (
       call_id text, run_id text, route text, purpose text, door text, step text, max_tokens bigint, at timestamptz,
       version bigint)
    ON CONFLICT DO NOTHING
"""
_CHARGED = """
WITH fresh AS (
    INSERT INTO usage_charges (
        tenant_id, run_id, stream_version, at, kind, outcome, call_id, attempt, provider, model, code, cost_usd_micros,
        saved_usd_micros, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        unsplit_tokens, latency_us, first_token_us, cached, price_version)
    SELECT %(tenant)s, r.run_id, r.version, r.at, r.kind, r.outcome, r.call_id, coalesce(r.attempt, 0),
           coalesce(r.provider, ''), coalesce(r.model, ''), coalesce(r.code, ''), coalesce(r.cost_usd_micros, 0),
           coalesce(r.saved_usd_micros, 0), coalesce(r.input_tokens, 0), coalesce(r.cached_input_tokens, 0),
           coalesce(r.cache_write_tokens, 0), coalesce(r.output_tokens, 0), coalesce(r.reasoning_tokens, 0),
           CASE WHEN r.unsaid THEN coalesce(c.max_tokens, 0) ELSE coalesce(r.unsplit_tokens, 0) END,
           coalesce(r.latency_us, 0), coalesce(r.first_token_us, 0),
           coalesce(r.cached, ''), coalesce(r.price_version, '')
      FROM json_to_recordset(%(rows)s) AS r (
           run_id text, version bigint, at timestamptz, kind text, outcome text, call_id text, attempt integer,
           provider text, model text, code text, cost_usd_micros bigint, saved_usd_micros bigint, input_tokens bigint,
           cached_input_tokens bigint, cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint,
           unsplit_tokens bigint, unsaid boolean, latency_us bigint, first_token_us bigint, cached text,
           price_version text)
      LEFT JOIN usage_calls AS c ON c.tenant_id = %(tenant)s AND c.call_id = r.call_id
        ON CONFLICT DO NOTHING
    RETURNING *
), named AS (
    SELECT f.*, coalesce(c.route, '') AS route
      FROM fresh AS f
      LEFT JOIN usage_calls AS c ON c.tenant_id = f.tenant_id AND c.call_id = f.call_id
), answered AS (
    SELECT * FROM named WHERE kind = 'model' AND outcome = 'completed' AND cached = ''
), counted AS (
    SELECT n.route, n.provider, m.meter, m.value
      FROM named AS n
     CROSS JOIN LATERAL (VALUES
           ('calls:' || n.outcome, 1), ('tokens:input', n.input_tokens), ('tokens:cached_input', n.cached_input_tokens),
           ('tokens:cache_write', n.cache_write_tokens), ('tokens:output', n.output_tokens),
           ('tokens:reasoning', n.reasoning_tokens), ('tokens:unsplit', n.unsplit_tokens), ('cost', n.cost_usd_micros),
           ('saved', n.saved_usd_micros)) AS m (meter, value)
     WHERE n.kind = 'model'
     UNION ALL
    SELECT route, provider, 'refused:' || code, 1
      FROM named
     WHERE outcome IN ('refused', 'held') AND code LIKE 'budget%%'
     UNION ALL
    SELECT a.route, a.provider, m.meter, m.value
      FROM answered AS a
     CROSS JOIN LATERAL (VALUES ('latency:sum', a.latency_us), ('latency:count', 1)) AS m (meter, value)
     UNION ALL
    SELECT a.route, a.provider, 'latency:' || b.bound, 1
      FROM answered AS a CROSS JOIN unnest(%(bounds)s::bigint[]) AS b (bound)
     WHERE a.latency_us <= b.bound
     UNION ALL
    SELECT a.route, a.provider, m.meter, m.value
      FROM answered AS a
     CROSS JOIN LATERAL (VALUES ('first_token:sum', a.first_token_us), ('first_token:count', 1)) AS m (meter, value)
     WHERE a.first_token_us > 0
     UNION ALL
    SELECT a.route, a.provider, 'first_token:' || b.bound, 1
      FROM answered AS a CROSS JOIN unnest(%(bounds)s::bigint[]) AS b (bound)
     WHERE a.first_token_us > 0 AND a.first_token_us <= b.bound
), hours AS (
    INSERT INTO model_hours AS h (hour, route, provider, cost_usd_micros)
    SELECT date_trunc('hour', at, 'UTC'), route, provider, sum(cost_usd_micros)
      FROM named
     WHERE kind = 'model' AND cost_usd_micros > 0
     GROUP BY 1, 2, 3
     ORDER BY 1, 2, 3
        ON CONFLICT (hour, route, provider) DO UPDATE
       SET cost_usd_micros = h.cost_usd_micros + excluded.cost_usd_micros
)
INSERT INTO model_meters AS m (route, provider, meter, value)
SELECT route, provider, meter, sum(value)::bigint
  FROM counted
 WHERE value > 0
 GROUP BY 1, 2, 3
 ORDER BY 1, 2, 3
    ON CONFLICT (route, provider, meter) DO UPDATE SET value = m.value + excluded.value
"""
_FORGOTTEN = "DELETE FROM model_hours WHERE hour < %(before)s"
_EXPIRED = (
    "DELETE FROM usage_calls WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)",
    "DELETE FROM usage_charges WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)",
    "DELETE FROM usage_reviews WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)",
)


class _Requested(Struct, frozen=True, kw_only=True):
    call_id: str
    run_id: str
    route: str
    purpose: str
    door: str
    step: str
    max_tokens: int
    at: Instant
    version: int


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    tenant_id = batch[0].commit.tenant_id
    requested: list[_Requested] = []
    charged: list[dict[str, Any]] = []
    for recorded in batch:
        commit = recorded.commit
        if commit.kind != "run":
            continue
        for version, event in enumerate(commit.events, start=commit.first_version):
            if type(event) is e.ModelCallRequested:
                requested.append(_requested(event, recorded, version))
            elif (says := _SAYS.get(type(event))) is not None and (said := says(event)) is not None:
                place = {"run_id": commit.stream_id, "version": version, "at": commit.at, "call_id": event.call_id}
                charged.append(said | place)
    if requested:
        await tx.run(_REQUESTED, {"tenant": tenant_id, "rows": as_json(requested)})
    if charged:
        params = {"tenant": tenant_id, "rows": as_json(charged), "bounds": list(BOUNDS_US)}
        await tx.run(_CHARGED, params)
        await tx.run(_FORGOTTEN, {"before": batch[-1].commit.at - HOURS_KEPT})
    await write_reviews(batch, tx)
    await delete_expired(batch, tx, *_EXPIRED)


def _requested(event: e.ModelCallRequested, recorded: AnyRecorded, version: int) -> _Requested:
    return _Requested(
        call_id=event.call_id,
        run_id=recorded.commit.stream_id,
        route=printable(event.route),
        purpose=event.purpose,
        door=event.door,
        step=printable(event.step),
        max_tokens=event.max_tokens,
        at=recorded.commit.at,
        version=version,
    )


def _answered(event: e.ModelCallCompleted) -> dict[str, Any]:
    usage = event.usage  # where the provider did not say, the most that there can have been counts
    tokens = {} if usage is None else {f"{name}_tokens": getattr(usage, name) for name in usage.__struct_fields__}
    return {
        "kind": "model",
        "outcome": "completed",
        "attempt": event.attempt,
        "provider": event.provider,
        "model": event.model[:500],
        "cost_usd_micros": event.cost_usd_micros,
        "saved_usd_micros": event.saved_usd_micros,
        "latency_us": event.latency_us,
        "first_token_us": event.first_token_us,
        "cached": event.cached,
        "price_version": event.price_version,
        "unsaid": usage is None and not event.cached,
        **tokens,
    }


def _attempt_failed(event: e.ModelCallAttemptFailed) -> dict[str, Any]:
    return {
        "kind": "model",
        "outcome": "failed",
        "attempt": event.attempt,
        "provider": event.provider,
        "model": event.model[:500],
        "code": event.code[:200],
        "cost_usd_micros": event.charged_usd_micros,
        "unsplit_tokens": event.charged_tokens,
        "latency_us": event.latency_us,
    }


def _model_refused(event: e.ModelCallRefused) -> dict[str, Any]:
    return {"kind": "model", "outcome": "refused", "code": event.code[:200]}


def _tool(outcome: str, event: Any, cost_usd_micros: int) -> dict[str, Any] | None:
    if not cost_usd_micros:
        return None
    return {"kind": "tool", "outcome": outcome, "attempt": event.attempt, "cost_usd_micros": cost_usd_micros}


def _tool_completed(event: e.ToolCallCompleted) -> dict[str, Any] | None:
    kept = event.cached
    if kept is None:
        return _tool("completed", event, event.cost_usd_micros)
    saved = {"cached": "read", "saved_usd_micros": kept.saved_usd_micros}
    return (
        {"kind": "tool", "outcome": "completed", "attempt": event.attempt, **saved} if kept.saved_usd_micros else None
    )


def _denied(event: e.ToolCallDenied) -> dict[str, Any] | None:
    return {"kind": "tool", "outcome": "refused", "code": event.rule_id[:200]} if event.by == "budget" else None


def _held(event: e.ToolCallHeld | e.ModelCallHeld, kind: str) -> dict[str, Any] | None:
    return {"kind": kind, "outcome": "held", "code": "budget_waiting"} if event.held_for == "budget" else None


_SAYS: dict[type, Callable[[Any], dict[str, Any] | None]] = {  # what each fact says of costs; None: nothing
    e.ModelCallCompleted: _answered,
    e.ModelCallAttemptFailed: _attempt_failed,
    e.ModelCallRefused: _model_refused,
    e.ModelCallHeld: lambda event: _held(event, "model"),
    e.ToolCallCompleted: _tool_completed,
    e.ToolCallFailed: lambda event: _tool("failed", event, event.charged_usd_micros),
    e.ToolCallOutcomeUnknown: lambda event: _tool("unknown", event, event.charged_usd_micros),
    e.ToolCallDenied: _denied,
    e.ToolCallHeld: lambda event: _held(event, "tool"),
}
