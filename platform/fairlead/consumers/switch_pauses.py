"""Runs that a switch has paused, for whoever lets them go on."""

from collections.abc import Sequence
from typing import Any, get_args

from fairlead.domain.envelope import Kind
from fairlead.domain.runs.events import RunEnding, RunPaused, RunResumed
from fairlead.ports import AnyRecorded, SqlTx

NAME = "switch_pauses"
KINDS: tuple[Kind, ...] = ("run",)
TABLES: tuple[str, ...] = ("switch_pauses",)

_PAUSED = """
INSERT INTO switch_pauses (tenant_id, run_id, switch, stream_version)
VALUES (%(tenant)s, %(run_id)s, %(switch)s, %(version)s)
    ON CONFLICT (tenant_id, run_id) DO UPDATE
   SET switch = excluded.switch, stream_version = excluded.stream_version
 WHERE switch_pauses.stream_version < excluded.stream_version
"""
_GOES_ON = """
DELETE FROM switch_pauses
 WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND stream_version < %(version)s
"""
_OVER: frozenset[type[Any]] = frozenset({*get_args(RunEnding), RunResumed})


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Rare, so statement by statement."""
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {"tenant": commit.tenant_id, "run_id": commit.stream_id, "version": version}
            if isinstance(event, RunPaused) and event.switch:
                await tx.run(_PAUSED, place | {"switch": event.switch})
            elif isinstance(event, RunPaused) or type(event) in _OVER:
                await tx.run(_GOES_ON, place)
