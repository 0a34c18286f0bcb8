"""Calls that failed for good and effects that could not be undone: what people look at, mend, replay or discard.

The call itself is in tool_calls.
"""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.expired_runs import delete_expired
from fairlead.consumers.rows import as_json, printable
from fairlead.domain.envelope import Kind
from fairlead.domain.ids import CallId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.sagas import undo_key
from fairlead.ports import AnyRecorded, SqlTx

NAME = "dead_letters"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("dead_letters",)

_DEAD = """
INSERT INTO dead_letters (
    tenant_id, letter_id, kind, call_id, run_id, status, error_class, code, message, attempt, failed_at, updated_at,
    sequence, stream_version)
VALUES (%(tenant)s, %(letter_id)s, %(kind)s, %(call_id)s, %(run_id)s, 'open', %(error_class)s, %(code)s, %(message)s,
        %(attempt)s, %(at)s, %(at)s, %(sequence)s, %(version)s)
    ON CONFLICT (tenant_id, letter_id) DO UPDATE
   SET status = 'open', error_class = excluded.error_class, code = excluded.code, message = excluded.message,
       attempt = excluded.attempt, failed_at = excluded.failed_at, updated_at = excluded.updated_at,
       sequence = excluded.sequence, stream_version = excluded.stream_version
 WHERE dead_letters.stream_version < excluded.stream_version
"""
_EDITED = """
UPDATE dead_letters SET edited = %(edited)s::json, updated_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND letter_id = %(letter_id)s AND stream_version < %(version)s
"""
_MOVED = """
UPDATE dead_letters
   SET status = %(status)s, replay_key = coalesce(%(replay_key)s, replay_key),
       as_run_id = coalesce(%(as_run)s, as_run_id), reason = coalesce(%(reason)s, reason), updated_at = %(at)s,
       stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND letter_id = %(letter_id)s AND stream_version < %(version)s
"""
_EXPIRED = "DELETE FROM dead_letters WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)"
_NOTHING: dict[str, Any] = {"replay_key": None, "as_run": None, "reason": None}
_CONCERNED = frozenset(
    {
        e.ToolCallFailed,
        e.ToolCallDenied,
        e.ToolCallEdited,
        e.ToolCallReplayed,
        e.ToolCallCompleted,
        e.ToolCallDiscarded,
        e.CompensationDispatched,
        e.CompensationFailed,
        e.ToolCallCompensated,
        e.CompensationLeft,
    }
)


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Rare, so statement by statement."""
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            if type(event) in _CONCERNED and (said := _said(event)) is not None:
                statement, params = said
                place = {
                    "tenant": commit.tenant_id,
                    "run_id": commit.stream_id,
                    "call_id": event.call_id,
                    "at": commit.at,
                    "sequence": recorded.sequence,
                    "version": version,
                }
                await tx.run(statement, place | params)
    await delete_expired(batch, tx, _EXPIRED)


def _said(event: Any) -> tuple[str, dict[str, Any]] | None:
    match event:
        case e.ToolCallFailed(retry_at=None):
            return _DEAD, _dead(event, event.call_id, "call")
        case e.CompensationFailed(retry_at=None):
            return _DEAD, _dead(event, undo_key(event.call_id), "undo")
        case e.ToolCallDenied(replayed=True, by=by, reason=reason):
            error = {"error_class": "policy", "code": f"denied_by_{by}", "message": printable(reason), "attempt": 0}
            return _DEAD, {"letter_id": event.call_id, "kind": "call", **error}
        case e.ToolCallEdited(arguments=arguments):
            return _EDITED, {"letter_id": event.call_id, "edited": as_json(arguments)}
        case e.ToolCallReplayed(as_run=as_run, key=key, reason=reason):
            status = "replaying" if as_run is None else "replayed_as_run"
            replay = {"replay_key": key or None, "as_run": as_run, "reason": printable(reason)}
            return _MOVED, {"letter_id": event.call_id, "status": status, **replay}
        case e.ToolCallCompleted(replayed=True):
            return _MOVED, {"letter_id": event.call_id, "status": "done", **_NOTHING}
        case e.ToolCallDiscarded(reason=reason):
            return _MOVED, _NOTHING | {"letter_id": event.call_id, "status": "discarded", "reason": printable(reason)}
        case _:
            return _of_undoing(event)


def _of_undoing(event: Any) -> tuple[str, dict[str, Any]] | None:
    match event:
        case e.CompensationDispatched():
            word = "replaying"
        case e.ToolCallCompensated():
            word = "done"
        case e.CompensationLeft():
            word = "discarded"
        case _:
            return None
    reason = printable(event.reason) if isinstance(event, e.CompensationLeft | e.ToolCallCompensated) else None
    return _MOVED, _NOTHING | {"letter_id": undo_key(event.call_id), "status": word, "reason": reason or None}


def _dead(event: e.ToolCallFailed | e.CompensationFailed, letter_id: CallId | str, kind: str) -> dict[str, Any]:
    return {
        "letter_id": letter_id,
        "kind": kind,
        "error_class": event.error_class,
        "code": printable(event.code),
        "message": printable(event.message),
        "attempt": event.attempt,
    }
