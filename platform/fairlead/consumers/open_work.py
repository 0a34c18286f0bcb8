"""Runs under way, and those that have ended and undo what they did, and when to look at each next."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, get_args

from fairlead.domain.envelope import Kind
from fairlead.domain.runs.events import CompensationEnded, CompensationPlanned, RunEnding
from fairlead.ports import AnyRecorded, SqlTx

NAME = "open_work"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("open_work",)

FIRST_LOOK = timedelta(seconds=10)

_BEGUN = """
INSERT INTO open_work (tenant_id, run_id, look_at, stream_version)
VALUES (%(tenant)s, %(run_id)s, %(look_at)s, %(version)s)
    ON CONFLICT (tenant_id, run_id) DO UPDATE SET look_at = excluded.look_at, stream_version = excluded.stream_version
 WHERE open_work.stream_version < excluded.stream_version
"""
_MOVED = """
UPDATE open_work SET look_at = %(look_at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND stream_version < %(version)s
"""
_ENDED = "DELETE FROM open_work WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)"

_OVER = frozenset({*get_args(RunEnding), CompensationEnded})


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Only a start and a plan to undo add a row, so the late outcome of a call alone does not bring a run back."""
    tenant_id = batch[0].commit.tenant_id
    begun: dict[str, dict[str, Any]] = {}
    moved: dict[str, dict[str, Any]] = {}
    ended: set[str] = set()
    for commit in (recorded.commit for recorded in batch):
        run_id = commit.stream_id
        plans = any(type(event) is CompensationPlanned for event in commit.events)
        rows = begun if plans or commit.first_version == 1 or run_id in begun else moved
        place = {"tenant": tenant_id, "run_id": run_id}
        rows[run_id] = place | {"look_at": commit.at + FIRST_LOOK, "version": commit.last_version}
        if plans:
            ended.discard(run_id)
        elif any(type(event) in _OVER for event in commit.events):
            ended.add(run_id)
    for statement, rows in ((_BEGUN, begun), (_MOVED, moved)):
        if wanted := [row for run_id, row in rows.items() if run_id not in ended]:
            await tx.run_many(statement, wanted)
    if ended:
        await tx.run(_ENDED, {"tenant": tenant_id, "run_ids": list(ended)})
