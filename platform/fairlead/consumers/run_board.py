"""Runs, their calls, their labels and what they wait for: lists, filters and the status of each run.

The status says the same as `domain.runs.status.status_of`, worked out from rows instead of from the whole history.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from fairlead.consumers.expired_runs import delete_expired
from fairlead.consumers.rows import as_json, printable
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

_STARTED = """
INSERT INTO run_board (
    tenant_id, run_id, workspace_id, environment_id, environment_kind, workflow_id, workflow_name, workflow_version,
    workflow_hash, policy_version, planner, agent_principal_id, started_by_kind, started_by, labels, parent_run_id,
    parent_version, data_subject, started_at, deadline_at, started_sequence, updated_at, last_sequence, stream_version)
SELECT %(tenant)s, r.run_id, r.workspace_id, r.environment_id, r.environment_kind, r.workflow_id, r.workflow_name,
       r.workflow_version, r.workflow_hash, r.policy_version, r.planner, r.agent_principal_id, r.started_by_kind,
       r.started_by, r.labels, r.parent_run_id, r.parent_version, r.data_subject, r.started_at, r.deadline_at,
       r.sequence, r.started_at, r.sequence, 0
  FROM json_to_recordset(%(rows)s) AS r (
       run_id text, workspace_id text, environment_id text, environment_kind text, workflow_id text,
       workflow_name text, workflow_version integer, workflow_hash text, policy_version text, planner text,
       agent_principal_id text, started_by_kind text, started_by text, labels jsonb, parent_run_id text,
       parent_version bigint, data_subject text, started_at timestamptz, deadline_at timestamptz, sequence bigint)
    ON CONFLICT DO NOTHING
"""
_LABELLED = """
INSERT INTO run_labels (tenant_id, key, value, started_sequence, run_id)
SELECT %(tenant)s, l.key, l.value, r.sequence, r.run_id
  FROM json_to_recordset(%(rows)s) AS r (run_id text, labels json, sequence bigint), json_each_text(r.labels) AS l
    ON CONFLICT DO NOTHING
"""
# What a run waits for is the busiest of its open calls and waits, as `domain.runs.obligations.awaiting` has it. Nothing
# is busier than work, so a call that the batch leaves at work says it without a look at the others.
# Row by row for the reason given in tool_calls.py.
_CHANGED = """
UPDATE run_board AS b
   SET outcome        = coalesce(b.outcome, %(outcome)s),
       reason_code    = CASE WHEN b.outcome IS NULL THEN %(reason_code)s ELSE b.reason_code END,
       reason         = CASE WHEN b.outcome IS NULL THEN %(reason)s ELSE b.reason END,
       ended_at       = coalesce(b.ended_at, %(ended_at)s),
       paused_reason  = CASE WHEN %(pausing)s THEN %(paused_reason)s ELSE b.paused_reason END,
       tool_calls     = b.tool_calls + %(tool_calls)s,
       compensation   = coalesce(%(compensation)s, b.compensation),
       awaiting       = CASE
           WHEN NOT %(waits_changed)s THEN b.awaiting
           WHEN %(at_work)s THEN 'work'
           WHEN %(outcome)s::text IS NOT NULL THEN 'nothing'
           ELSE (
           SELECT coalesce((ARRAY['work', 'approval', 'person', 'connection', 'signal', 'time'])[min(w.rank)],
                           'nothing')
             FROM (SELECT CASE c.status
                          WHEN 'requested' THEN 1 WHEN 'judged' THEN 1 WHEN 'dispatched' THEN 1 WHEN 'started' THEN 1
                          WHEN 'verifying' THEN 1
                          WHEN 'awaiting_approval' THEN 2
                          WHEN 'awaiting_connection' THEN 4
                          WHEN 'backing_off' THEN 6 END AS rank
                     FROM tool_calls AS c
                    WHERE c.tenant_id = %(tenant)s AND c.run_id = %(run_id)s
                    UNION ALL
                   SELECT CASE o.what WHEN 'question' THEN 3 WHEN 'signal' THEN 5 WHEN 'time' THEN 6 END
                     FROM run_waits AS o
                    WHERE o.tenant_id = %(tenant)s AND o.run_id = %(run_id)s AND o.open) AS w
           ) END,
       updated_at     = %(at)s,
       last_sequence  = %(sequence)s,
       stream_version = %(last_version)s
 WHERE b.tenant_id = %(tenant)s AND b.run_id = %(run_id)s AND b.stream_version < %(first_version)s
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


class _Started(Struct, frozen=True, kw_only=True):
    run_id: str
    workspace_id: str
    environment_id: str
    environment_kind: str
    workflow_id: str
    workflow_name: str
    workflow_version: int
    workflow_hash: str
    policy_version: str
    planner: str
    agent_principal_id: str
    started_by_kind: str
    started_by: str
    labels: dict[str, str]
    parent_run_id: str | None
    parent_version: int | None
    data_subject: str
    started_at: Instant
    deadline_at: Instant
    sequence: int


class _Changed(Struct, kw_only=True):
    """What a batch says of one run."""

    run_id: str
    first_version: int
    last_version: int
    at: Instant
    sequence: int
    tool_calls: int = 0
    waits_changed: bool = False
    pausing: bool = False
    paused_reason: str | None = None
    compensation: str | None = None
    outcome: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    ended_at: Instant | None = None


_COMPENSATIONS = frozenset({e.CompensationPlanned, e.CompensationDispatched, e.CompensationFailed, e.CompensationEnded})


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    tenant_id = batch[0].commit.tenant_id
    at_work = await write_calls(tenant_id, batch, tx)
    await write_waits(tenant_id, batch, tx)
    started: list[_Started] = []
    changed: dict[str, _Changed] = {}
    for recorded in batch:
        _fold(changed, started, recorded)
    if started:
        await tx.run(_STARTED, {"tenant": tenant_id, "rows": as_json(started)})
    if labelled := [row for row in started if row.labels]:
        await tx.run(_LABELLED, {"tenant": tenant_id, "rows": as_json(labelled)})
    await tx.run_many(_CHANGED, [_params(tenant_id, row, at_work) for row in changed.values()])
    await delete_expired(batch, tx, *_EXPIRED)


def _params(tenant_id: str, row: _Changed, at_work: set[str]) -> dict[str, Any]:
    return asdict(row) | {
        "tenant": tenant_id,
        "at_work": row.run_id in at_work,
        "reason": row.reason and printable(row.reason),
        "paused_reason": row.paused_reason and printable(row.paused_reason),
    }


def _fold(changed: dict[str, _Changed], started: list[_Started], recorded: AnyRecorded) -> None:
    commit = recorded.commit
    row = changed.get(commit.stream_id)
    if row is None:
        row = changed[commit.stream_id] = _Changed(
            run_id=commit.stream_id,
            first_version=commit.first_version,
            last_version=commit.last_version,
            at=commit.at,
            sequence=recorded.sequence,
        )
    row.last_version, row.at, row.sequence = commit.last_version, commit.at, recorded.sequence
    for event in commit.events:
        kind = type(event)
        if kind in _COMPENSATIONS:
            row.compensation = _compensation(event) or row.compensation
        if kind in CALL_EVENTS or kind in WAIT_EVENTS:
            row.waits_changed = True
            row.tool_calls += kind is e.ToolCallRequested
        elif kind in ENDINGS:
            row.outcome, (row.reason_code, row.reason) = ENDINGS[kind], said_of(event)
            row.ended_at = commit.at
        elif kind is e.RunPaused or kind is e.RunResumed:
            row.pausing, row.paused_reason = True, event.reason if kind is e.RunPaused else None
        elif kind is e.RunStarted or kind is e.RunForked:
            began = fold(NotStarted(), (event,))
            assert isinstance(began, Active), "a start begins a run"
            started.append(_start(event, began.start, commit.actor, recorded.sequence))
            row.tool_calls += began.tool_calls_used  # a fork's calls so far count against its limits too


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


def _start(event: e.RunStarted | e.RunForked, origin: e.RunStarted, actor: Actor, sequence: int) -> _Started:
    """`origin` is the event itself, or for a fork the start that it goes back to."""
    return _Started(
        run_id=event.run_id,
        workspace_id=origin.workspace_id,
        environment_id=origin.environment_id,
        environment_kind=origin.environment_kind,
        workflow_id=origin.workflow_id,
        workflow_name=origin.workflow_name,
        workflow_version=origin.workflow_version,
        workflow_hash=origin.workflow_hash,
        policy_version=origin.policy_version,
        planner=origin.planner,
        agent_principal_id=origin.agent_principal_id,
        started_by_kind=actor.kind,
        started_by=actor.id,
        labels=origin.labels,
        parent_run_id=event.parent_run_id if isinstance(event, e.RunForked) else None,
        parent_version=event.parent_version if isinstance(event, e.RunForked) else None,
        data_subject=origin.data_subject,
        started_at=event.started_at,
        deadline_at=event.deadline_at,
        sequence=sequence,
    )
