"""Runs under way, and those that have ended and undo what they did, and when to look at each next."""

from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

from fairlead.domain.envelope import Kind
from fairlead.domain.runs.events import CompensationEnded, CompensationPlanned, RunEnding
from fairlead.ports import AnyCommit, AnyRecorded, SqlTx

NAME = "open_work"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("open_work",)

FIRST_LOOK = timedelta(seconds=10)

# One statement for the reason given in tool_calls.py.
_TOLD = """
MERGE INTO open_work AS o
USING unnest(%(run_ids)b::text[], %(look_at)b::timestamptz[], %(versions)b::bigint[], %(begun)b::boolean[],
             %(ended)b::boolean[]) AS r (run_id, look_at, version, begun, ended)
   ON o.tenant_id = %(tenant)s AND o.run_id = r.run_id COLLATE "C"
 WHEN MATCHED AND r.ended THEN DELETE
 WHEN MATCHED AND o.stream_version < r.version THEN UPDATE SET look_at = r.look_at, stream_version = r.version
 WHEN NOT MATCHED AND r.begun AND NOT r.ended THEN
      INSERT (tenant_id, run_id, look_at, stream_version) VALUES (%(tenant)s, r.run_id, r.look_at, r.version)
"""

_OVER = frozenset({*get_args(RunEnding), CompensationEnded})


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Only a start and a plan to undo add a row, so the late outcome of a call alone does not bring a run back."""
    last: dict[str, AnyCommit] = {}
    begun: set[str] = set()
    ended: set[str] = set()
    for commit in (recorded.commit for recorded in batch):
        run_id = commit.stream_id
        last[run_id] = commit
        plans = any(type(event) is CompensationPlanned for event in commit.events)
        if plans or commit.first_version == 1:
            begun.add(run_id)
        if plans:
            ended.discard(run_id)
        elif any(type(event) in _OVER for event in commit.events):
            ended.add(run_id)
    await tx.run(
        _TOLD,
        {
            "tenant": batch[0].commit.tenant_id,
            "run_ids": list(last),
            "look_at": [commit.at + FIRST_LOOK for commit in last.values()],
            "versions": [commit.last_version for commit in last.values()],
            "begun": [run_id in begun for run_id in last],
            "ended": [run_id in ended for run_id in last],
        },
    )
