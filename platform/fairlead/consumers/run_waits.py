"""What runs wait for besides calls, one row each: part of the projection run_board. Rare, so statement by statement."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.consumers.rows import printable
from fairlead.domain.runs import events as e
from fairlead.ports import AnyRecorded, SqlTx

_OPEN = """
INSERT INTO run_waits (
    tenant_id, run_id, what, item, open, step, name, question, schema, roles, due_at, since, stream_version)
VALUES (%(tenant)s, %(run_id)s, %(what)s, %(item)s, true, %(step)s, %(name)s, %(question)s, %(schema)s, %(roles)s,
        %(due_at)s, %(at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_CLOSE_ITEM = """
UPDATE run_waits SET open = false, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND what = %(what)s AND item = %(item)s
   AND stream_version < %(version)s
"""
_CLOSE_STEP = """
UPDATE run_waits SET open = false, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND step = %(step)s AND open AND stream_version < %(version)s
"""
# A signal that came early is used up by the first step that awaits it.
_AWAIT_SIGNAL = """
WITH early AS (
    UPDATE run_waits SET open = false, stream_version = %(version)s
     WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND what = 'early_signal' AND item = (
           SELECT item FROM run_waits
            WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND what = 'early_signal' AND name = %(name)s AND open
              AND stream_version < %(version)s
            ORDER BY stream_version
            LIMIT 1)
    RETURNING item
)
INSERT INTO run_waits (tenant_id, run_id, what, item, open, step, name, due_at, since, stream_version)
SELECT %(tenant)s, %(run_id)s, 'signal', %(step)s, NOT EXISTS (SELECT FROM early), %(step)s, %(name)s, %(due_at)s,
       %(at)s, %(version)s
    ON CONFLICT DO NOTHING
"""
_SIGNAL = """
WITH awaited AS (
    UPDATE run_waits SET open = false, stream_version = %(version)s
     WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND what = 'signal' AND name = %(name)s AND open
       AND stream_version < %(version)s
    RETURNING item
)
INSERT INTO run_waits (tenant_id, run_id, what, item, open, name, since, stream_version)
SELECT %(tenant)s, %(run_id)s, 'early_signal', %(item)s, NOT EXISTS (SELECT FROM awaited), %(name)s, %(at)s, %(version)s
    ON CONFLICT DO NOTHING
"""

_Said = tuple[str, dict[str, Any]]  # a statement and its parameters besides place and time


async def write_waits(tenant_id: str, batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            if type(event) in WAIT_EVENTS:
                statement, said = _said(event)
                place = {"tenant": tenant_id, "run_id": commit.stream_id, "at": commit.at, "version": version}
                await tx.run(statement, place | said)


def _said(event: Any) -> _Said:
    match event:
        case e.QuestionAsked():
            return _OPEN, {
                "what": "question",
                "item": event.question_id,
                "step": event.step,
                "name": event.purpose,
                "question": printable(event.question),
                "schema": None if event.schema is None else msgspec.json.encode(event.schema).decode(),
                "roles": list(event.roles),
                "due_at": event.deadline_at,
            }
        case e.QuestionAnswered() | e.QuestionExpired():
            return _CLOSE_ITEM, {"what": "question", "item": event.question_id}
        case e.SignalAwaited():
            return _AWAIT_SIGNAL, {"step": event.step, "name": event.name, "due_at": event.deadline_at}
        case e.SignalReceived():
            return _SIGNAL, {"item": event.signal_id, "name": event.name}
        case e.TimeAwaited():
            return _OPEN, {
                "what": "time",
                "item": event.step,
                "step": event.step,
                "due_at": event.due_at,
            } | _NO_QUESTION
        case e.SignalTimedOut() | e.TimeElapsed() | e.StepRepaired():
            return _CLOSE_STEP, {"step": event.step}
    raise AssertionError("every event in WAIT_EVENTS is said above")


_NO_QUESTION: dict[str, Any] = {"name": "", "question": None, "schema": None, "roles": []}
WAIT_EVENTS = frozenset(
    {
        e.QuestionAsked,
        e.QuestionAnswered,
        e.QuestionExpired,
        e.SignalAwaited,
        e.SignalReceived,
        e.SignalTimedOut,
        e.TimeAwaited,
        e.TimeElapsed,
        e.StepRepaired,
    }
)
