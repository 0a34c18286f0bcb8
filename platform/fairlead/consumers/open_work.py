"""Runs under way and when to look at each next, should it not move before."""

from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

from msgspec import Struct

from fairlead.consumers.rows import as_json
from fairlead.domain.envelope import Kind
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events import RunEnding
from fairlead.ports import AnyRecorded, SqlTx

NAME = "open_work"
KINDS: tuple[Kind, ...] = ("run",)
TABLES = ("open_work",)

FIRST_LOOK = timedelta(seconds=10)

_BEGUN = """
INSERT INTO open_work (tenant_id, run_id, look_at, stream_version)
SELECT %(tenant)s, r.run_id, r.look_at, r.version
  FROM json_to_recordset(%(rows)s) AS r (run_id text, look_at timestamptz, version bigint)
    ON CONFLICT DO NOTHING
"""
_MOVED = """
UPDATE open_work AS w
   SET look_at = r.look_at, stream_version = r.version
  FROM json_to_recordset(%(rows)s) AS r (run_id text, look_at timestamptz, version bigint)
 WHERE w.tenant_id = %(tenant)s AND w.run_id = r.run_id AND w.stream_version < r.version
"""
_ENDED = "DELETE FROM open_work WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)"

_ENDINGS = frozenset(get_args(RunEnding))


class _Moved(Struct, frozen=True):
    run_id: str
    look_at: Instant
    version: int


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Only a start adds a row, so the late outcome of a call does not bring an ended run back."""
    begun: dict[str, _Moved] = {}
    moved: dict[str, _Moved] = {}
    ended: set[str] = set()
    for commit in (recorded.commit for recorded in batch):
        run_id = commit.stream_id
        rows = begun if commit.first_version == 1 or run_id in begun else moved
        rows[run_id] = _Moved(run_id, commit.at + FIRST_LOOK, commit.last_version)
        if any(type(event) in _ENDINGS for event in commit.events):
            ended.add(run_id)
    tenant_id = batch[0].commit.tenant_id
    for statement, rows in ((_BEGUN, begun), (_MOVED, moved)):
        if wanted := [row for run_id, row in rows.items() if run_id not in ended]:
            await tx.run(statement, {"tenant": tenant_id, "rows": as_json(wanted)})
    if ended:
        await tx.run(_ENDED, {"tenant": tenant_id, "run_ids": list(ended)})
