"""Runs under way and when to look at each next, should it not move before."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, get_args

from fairlead.domain.envelope import Kind
from fairlead.domain.runs.events import RunEnding
from fairlead.ports import AnyRecorded, SqlTx

NAME = "open_work"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("open_work",)

FIRST_LOOK = timedelta(seconds=10)

_BEGUN = """
INSERT INTO open_work (tenant_id, run_id, look_at, stream_version)
VALUES (%(tenant)s, %(run_id)s, %(look_at)s, %(version)s)
    ON CONFLICT DO NOTHING
"""
_MOVED = """
UPDATE open_work SET look_at = %(look_at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND stream_version < %(version)s
"""
_ENDED = "DELETE FROM open_work WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)"

_ENDINGS = frozenset(get_args(RunEnding))


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Only a start adds a row, so the late outcome of a call does not bring an ended run back."""
    tenant_id = batch[0].commit.tenant_id
    begun: dict[str, dict[str, Any]] = {}
    moved: dict[str, dict[str, Any]] = {}
    ended: set[str] = set()
    for commit in (recorded.commit for recorded in batch):
        run_id = commit.stream_id
        rows = begun if commit.first_version == 1 or run_id in begun else moved
        place = {"tenant": tenant_id, "run_id": run_id}
        rows[run_id] = place | {"look_at": commit.at + FIRST_LOOK, "version": commit.last_version}
        if any(type(event) in _ENDINGS for event in commit.events):
            ended.add(run_id)
    for statement, rows in ((_BEGUN, begun), (_MOVED, moved)):
        if wanted := [row for run_id, row in rows.items() if run_id not in ended]:
            await tx.run_many(statement, wanted)
    if ended:
        await tx.run(_ENDED, {"tenant": tenant_id, "run_ids": list(ended)})
