"""Runs, their calls, their labels and what they wait for: lists, filters and the status of each run.

The status says the same as `domain.runs.status.status_of`, worked out from rows instead of from the whole history.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from fairlead.consumers.expired_runs import delete_expired
from fairlead.consumers.model_waits import MODEL_EVENTS, is_own, write_model_waits
from fairlead.consumers.rows import as_json
from fairlead.consumers.run_waits import WAIT_EVENTS, write_waits
from fairlead.consumers.tool_calls import CALL_EVENTS, write_calls
from fairlead.domain.envelope import Actor, Kind
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import ENDINGS, fold
from fairlead.domain.runs.states import Active, NotStarted
from fairlead.domain.runs.status import said_of
from fairlead.domain.runs.undoing import CompensationStatus
from fairlead.ports import AnyRecorded, SqlTx

NAME = "run_board"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("run_board", "run_labels", "tool_calls", "run_waits")

# What a run waits for is the busiest of its open calls and waits, as `domain.runs.obligations.awaiting` has it. Nothing
# is busier than work, so a call that the batch leaves at work says it without a look at the others.
# One statement for all runs of a batch, for the reason given in tool_calls.py. OFFSET keeps what is awaited from being
# planned anew for each way in which it is used.
_TOLD = """
MERGE INTO run_board AS b
USING (
       SELECT t.*, CASE
              WHEN NOT t.waits_changed THEN NULL
              WHEN t.at_work THEN 'work'
              WHEN t.outcome IS NOT NULL THEN 'nothing'
              ELSE (
              SELECT coalesce((ARRAY['work', 'approval', 'person', 'connection', 'signal', 'time'])[min(w.rank)],
                              'nothing')
                FROM (SELECT CASE c.status
                             WHEN 'requested' THEN 1 WHEN 'judged' THEN 1 WHEN 'dispatched' THEN 1
                             WHEN 'started' THEN 1 WHEN 'verifying' THEN 1
                             WHEN 'awaiting_approval' THEN 2
                             WHEN 'awaiting_connection' THEN 4
                             WHEN 'backing_off' THEN 6 END AS rank
                        FROM tool_calls AS c
                       WHERE c.tenant_id = %(tenant)s AND c.run_id = t.run_id
                       UNION ALL
                      SELECT CASE o.what WHEN 'question' THEN 3 WHEN 'signal' THEN 5 WHEN 'time' THEN 6
                             WHEN 'model' THEN CASE o.name WHEN 'work' THEN 1 WHEN 'out' THEN 1
                                                           WHEN 'pause' THEN 6 END END
                        FROM run_waits AS o
                       WHERE o.tenant_id = %(tenant)s AND o.run_id = t.run_id AND o.open) AS w
              ) END AS awaiting
         FROM json_to_recordset(%(rows)s) AS t (
              run_id text COLLATE "C", first_version bigint, last_version bigint, at timestamptz, sequence bigint,
              tool_calls integer, model_calls integer, tokens bigint, cost_usd_micros bigint,
              waits_changed boolean, at_work boolean, pausing boolean, paused_reason text,
              compensation text, outcome text, reason_code text, reason text, ended_at timestamptz,
              workspace_id text, environment_id text, environment_kind text, workflow_id text, workflow_name text,
              workflow_version integer, workflow_hash text, policy_version text, planner text, agent_principal_id text,
              started_by_kind text, started_by text, labels jsonb, parent_run_id text, parent_version bigint,
              data_subject text, started_at timestamptz, deadline_at timestamptz, started_sequence bigint)
       OFFSET 0) AS r
   ON b.tenant_id = %(tenant)s AND b.run_id = r.run_id
 WHEN MATCHED AND b.stream_version < r.first_version THEN UPDATE
  SET outcome        = coalesce(b.outcome, r.outcome),
      reason_code    = CASE WHEN b.outcome IS NULL THEN r.reason_code ELSE b.reason_code END,
      reason         = CASE WHEN b.outcome IS NULL THEN r.reason ELSE b.reason END,
      ended_at       = coalesce(b.ended_at, r.ended_at),
      paused_reason  = CASE WHEN r.pausing THEN r.paused_reason ELSE b.paused_reason END,
      tool_calls     = b.tool_calls + r.tool_calls,
      model_calls    = b.model_calls + r.model_calls,
      tokens         = b.tokens + r.tokens,
      cost_usd_micros = b.cost_usd_micros + r.cost_usd_micros,
      compensation   = coalesce(r.compensation, b.compensation),
      awaiting       = coalesce(r.awaiting, b.awaiting),
      updated_at     = r.at,
      last_sequence  = r.sequence,
      stream_version = r.last_version
 WHEN NOT MATCHED AND r.workflow_id IS NOT NULL THEN INSERT (
      tenant_id, run_id, workspace_id, environment_id, environment_kind, workflow_id, workflow_name, workflow_version,
      workflow_hash, policy_version, planner, agent_principal_id, started_by_kind, started_by, labels, parent_run_id,
      parent_version, data_subject, started_at, deadline_at, started_sequence, awaiting, paused_reason, outcome,
      reason_code, reason, ended_at, tool_calls, model_calls, tokens, cost_usd_micros, compensation, updated_at,
      last_sequence, stream_version)
VALUES (
      %(tenant)s, r.run_id, r.workspace_id, r.environment_id, r.environment_kind, r.workflow_id, r.workflow_name,
      r.workflow_version, r.workflow_hash, r.policy_version, r.planner, r.agent_principal_id, r.started_by_kind,
      r.started_by, r.labels, r.parent_run_id, r.parent_version, r.data_subject, r.started_at, r.deadline_at,
      r.started_sequence, coalesce(r.awaiting, 'nothing'), r.paused_reason, r.outcome, r.reason_code, r.reason,
      r.ended_at, r.tool_calls, r.model_calls, r.tokens, r.cost_usd_micros,
      coalesce(r.compensation, 'none'), r.at, r.sequence, r.last_version)
"""
_LABELLED = """
INSERT INTO run_labels (tenant_id, key, value, started_sequence, run_id)
SELECT %(tenant)s, l.key, l.value, r.started_sequence, r.run_id
  FROM json_to_recordset(%(rows)s) AS r (run_id text, labels json, started_sequence bigint),
       json_each_text(r.labels) AS l
    ON CONFLICT DO NOTHING
"""
_UNLABELLED = """
DELETE FROM run_labels AS l
 USING run_board AS b CROSS JOIN LATERAL jsonb_each_text(b.labels) AS e
 WHERE b.tenant_id = %(tenant)s AND b.run_id = ANY (%(run_ids)s)
   AND l.tenant_id = b.tenant_id AND l.key = e.key AND l.value = e.value AND l.started_sequence = b.started_sequence
"""
_EXPIRED = (
    _UNLABELLED,
    "DELETE FROM tool_calls WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)",
    "DELETE FROM run_waits WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)",
    "DELETE FROM run_board WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)",
)


class _Row(Struct, kw_only=True, omit_defaults=True):
    """What a batch says of one run; from its workflow on, of one that it begins."""

    run_id: str
    first_version: int
    last_version: int
    at: Instant
    sequence: int
    tool_calls: int
    model_calls: int
    tokens: int
    cost_usd_micros: int
    waits_changed: bool
    at_work: bool
    pausing: bool
    paused_reason: str | None = None
    compensation: str | None = None
    outcome: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    ended_at: Instant | None = None
    workspace_id: str | None = None
    environment_id: str | None = None
    environment_kind: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    workflow_version: int | None = None
    workflow_hash: str | None = None
    policy_version: str | None = None
    planner: str | None = None
    agent_principal_id: str | None = None
    started_by_kind: str | None = None
    started_by: str | None = None
    labels: dict[str, str] | None = None
    parent_run_id: str | None = None
    parent_version: int | None = None
    data_subject: str | None = None
    started_at: Instant | None = None
    deadline_at: Instant | None = None
    started_sequence: int | None = None


_COMPENSATIONS = frozenset({e.CompensationPlanned, e.CompensationDispatched, e.CompensationFailed, e.CompensationEnded})


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    tenant_id = batch[0].commit.tenant_id
    at_work = await write_calls(tenant_id, batch, tx)
    await write_waits(tenant_id, batch, tx)
    await write_model_waits(tenant_id, batch, tx)
    rows: dict[str, _Row] = {}
    for recorded in batch:
        _fold(_row(rows, recorded, at_work), recorded)
    await tx.run(_TOLD, {"tenant": tenant_id, "rows": as_json(list(rows.values()))})
    if labelled := [row for row in rows.values() if row.labels]:
        await tx.run(_LABELLED, {"tenant": tenant_id, "rows": as_json(labelled)})
    await delete_expired(batch, tx, *_EXPIRED)


def _row(rows: dict[str, _Row], recorded: AnyRecorded, at_work: set[str]) -> _Row:
    commit = recorded.commit
    row = rows.get(commit.stream_id)
    if row is None:
        row = rows[commit.stream_id] = _Row(
            run_id=commit.stream_id,
            first_version=commit.first_version,
            last_version=commit.last_version,
            at=commit.at,
            sequence=recorded.sequence,
            tool_calls=0,
            model_calls=0,
            tokens=0,
            cost_usd_micros=0,
            waits_changed=False,
            at_work=commit.stream_id in at_work,
            pausing=False,
        )
    row.last_version, row.at, row.sequence = commit.last_version, commit.at, recorded.sequence
    return row


def _fold(row: _Row, recorded: AnyRecorded) -> None:
    commit = recorded.commit
    for event in commit.events:
        kind = type(event)
        if kind in _COMPENSATIONS:
            row.compensation = _compensation(event) or row.compensation
        if kind in CALL_EVENTS or kind in WAIT_EVENTS:
            row.waits_changed = True
            row.tool_calls += kind is e.ToolCallRequested
        elif kind in MODEL_EVENTS:
            _count(row, event)
        elif kind is e.LimitReached or kind is e.LimitRaised:
            row.waits_changed = True
        elif kind in ENDINGS:
            row.outcome, (row.reason_code, row.reason) = ENDINGS[kind], said_of(event)
            row.ended_at = commit.at
        elif kind is e.RunPaused or kind is e.RunResumed:
            row.pausing, row.paused_reason = True, event.reason if kind is e.RunPaused else None
        elif kind is e.RunStarted or kind is e.RunForked:
            began = fold(NotStarted(), (event,))
            assert isinstance(began, Active), "a start begins a run"
            _begin(row, event, began.start, commit.actor, recorded.sequence)
            row.tool_calls += began.tool_calls_used  # a fork's calls so far count against its limits too
            row.model_calls += began.model_calls_used
            row.tokens += began.tokens_used
            row.cost_usd_micros += began.cost_usd_micros


def _count(row: _Row, event: Any) -> None:
    row.waits_changed = row.waits_changed or is_own(event)
    match event:
        case e.ModelCallRequested():
            row.model_calls += 1
        case e.ModelCallCompleted(tokens=tokens, cost_usd_micros=cost):
            row.tokens, row.cost_usd_micros = row.tokens + tokens, row.cost_usd_micros + cost
        case e.ModelCallAttemptFailed(charged_tokens=tokens, charged_usd_micros=charged):
            row.tokens, row.cost_usd_micros = row.tokens + tokens, row.cost_usd_micros + charged


def _compensation(event: Any) -> CompensationStatus | None:
    """Where the undoing stands after the event; None when the event does not move it."""
    match event:
        case e.CompensationPlanned() | e.CompensationDispatched():
            return "under_way"
        case e.CompensationFailed(retry_at=None):
            return "waiting_for_person"
        case e.CompensationEnded(left=left):
            return "incomplete" if left else "done"
    return None


def _begin(row: _Row, event: e.RunStarted | e.RunForked, origin: e.RunStarted, actor: Actor, sequence: int) -> None:
    """`origin` is the event itself, or for a fork the start that it goes back to."""
    row.workspace_id = origin.workspace_id
    row.environment_id = origin.environment_id
    row.environment_kind = origin.environment_kind
    row.workflow_id = origin.workflow_id
    row.workflow_name = origin.workflow_name
    row.workflow_version = origin.workflow_version
    row.workflow_hash = origin.workflow_hash
    row.policy_version = origin.policy_version
    row.planner = origin.planner
    row.agent_principal_id = origin.agent_principal_id
    row.started_by_kind = actor.kind
    row.started_by = actor.id
    row.labels = origin.labels
    if isinstance(event, e.RunForked):
        row.parent_run_id, row.parent_version = event.parent_run_id, event.parent_version
    row.data_subject = origin.data_subject
    row.started_at = event.started_at
    row.deadline_at = event.deadline_at
    row.started_sequence = sequence
