"""Runs that a switch has paused, for whoever lets them go on."""

from collections.abc import Sequence
from typing import Any, get_args

from fairlead.domain.envelope import Kind
from fairlead.domain.runs.events import RunEnding, RunPaused, RunResumed
from fairlead.ports import AnyRecorded, SqlTx

NAME = "switch_pauses"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("switch_pauses",)

# One statement for the reason given in tool_calls.py.
_TOLD = """
MERGE INTO switch_pauses AS p
USING unnest(%(run_ids)b::text[], %(switches)b::text[], %(versions)b::bigint[]) AS r (run_id, switch, version)
   ON p.tenant_id = %(tenant)s AND p.run_id = r.run_id COLLATE "C"
 WHEN MATCHED AND p.stream_version < r.version AND r.switch IS NULL THEN DELETE
 WHEN MATCHED AND p.stream_version < r.version THEN UPDATE SET switch = r.switch, stream_version = r.version
 WHEN NOT MATCHED AND r.switch IS NOT NULL THEN
      INSERT (tenant_id, run_id, switch, stream_version) VALUES (%(tenant)s, r.run_id, r.switch, r.version)
"""
_OVER: frozenset[type[Any]] = frozenset({*get_args(RunEnding), RunResumed})


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    last: dict[str, tuple[str | None, int]] = {}  # by run, the switch that it waits for and since which version
    for commit in (recorded.commit for recorded in batch):
        for version, event in enumerate(commit.events, start=commit.first_version):
            if isinstance(event, RunPaused):
                last[commit.stream_id] = event.switch or None, version
            elif type(event) in _OVER:
                last[commit.stream_id] = None, version
    if last:
        switches, versions = zip(*last.values(), strict=True)
        told = {"run_ids": list(last), "switches": list(switches), "versions": list(versions)}
        await tx.run(_TOLD, {"tenant": batch[0].commit.tenant_id, **told})
