"""Model calls of runs that have no outcome yet, one row each: part of the projection run_board.

What comes through a door is not the run's own work, and says nothing of what the run waits for.
"""

from collections.abc import Sequence
from typing import Any

from fairlead.domain.runs import events as e
from fairlead.ports import AnyRecorded, SqlTx

_ASKED = """
INSERT INTO run_waits (tenant_id, run_id, what, item, open, step, name, since, stream_version)
VALUES (%(tenant)s, %(run_id)s, 'model', %(item)s, true, %(step)s, 'work', %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_MOVED = """
UPDATE run_waits SET name = %(name)s, open = %(open)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND what = 'model' AND item = %(item)s
   AND stream_version < %(version)s
"""
# What is out already is answered; what is still to be sent waits for the limit.
_LIMIT = """
UPDATE run_waits SET name = %(name)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND what = 'model' AND open AND name = %(before)s
   AND stream_version < %(version)s
"""

_OVER = frozenset({e.ModelCallCompleted, e.ModelCallFailed, e.ModelCallRefused, e.ModelCallReleased})
MODEL_EVENTS = frozenset(
    {e.ModelCallRequested, e.ModelCallRouted, e.ModelCallAttemptFailed, e.ModelCallResumed, *_OVER}
)
_LIMITS = frozenset({e.LimitReached, e.LimitRaised})


def is_own(event: Any) -> bool:
    """Whether the run itself has planned the call: its id says so."""
    return "-" in event.call_id


async def write_model_waits(tenant_id: str, batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {"tenant": tenant_id, "run_id": commit.stream_id, "at": commit.at, "version": version}
            if type(event) in MODEL_EVENTS and is_own(event):
                await _write(event, place, tx)
            elif type(event) in _LIMITS:
                raised = isinstance(event, e.LimitRaised)
                names = {"name": "work", "before": "limit"} if raised else {"name": "limit", "before": "work"}
                await tx.run(_LIMIT, place | names)


async def _write(event: Any, place: dict[str, Any], tx: SqlTx) -> None:
    item = {"item": event.call_id}
    match event:
        case e.ModelCallRequested(step=step):
            await tx.run(_ASKED, place | item | {"step": step})
        case e.ModelCallRouted():
            await tx.run(_MOVED, place | item | {"name": "out", "open": True})
        case e.ModelCallAttemptFailed(retry_at=retry_at):
            await tx.run(_MOVED, place | item | {"name": "pause" if retry_at else "work", "open": True})
        case e.ModelCallResumed():
            await tx.run(_MOVED, place | item | {"name": "work", "open": True})
        case _:
            await tx.run(_MOVED, place | item | {"name": "over", "open": False})
