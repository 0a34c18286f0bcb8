"""Commits by the page, in constant memory. A page is bounded in rows and bytes and is a transaction of its own, so that
a slow reader holds no connection and no snapshot."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, LiteralString

from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Struct

from fairlead.api.opened_commits import Show, as_stored
from fairlead.api.timeline_events import CommitRow
from fairlead.ports import SqlTx

PAGE_COMMITS = 250  # writing a page out as CSV keeps others waiting for some 20 ms
PAGE_BYTES = 2 * 1024 * 1024  # a commit that is larger is a page of its own
LAST = 2**63 - 1

# `octet_length` reads the size that is stored beside a long value; the value itself is fetched for rows that stay.
OF_RUN = """
SELECT run_id, sequence, at, body
  FROM (SELECT *, sum(octet_length(body)) OVER (ORDER BY sequence) - octet_length(body) AS bytes_before
          FROM (SELECT run_id, sequence, at, body
                  FROM run_commits
                 WHERE run_id = %(run_id)s AND sequence BETWEEN %(from_sequence)s AND %(to_sequence)s
                 ORDER BY sequence
                 LIMIT %(commits)s) AS found) AS measured
 WHERE bytes_before < %(bytes)s
 ORDER BY sequence
"""
OF_TENANT = """
SELECT run_id, sequence, at, body
  FROM (SELECT *, sum(octet_length(body)) OVER (ORDER BY sequence) - octet_length(body) AS bytes_before
          FROM (SELECT c.run_id, c.sequence, c.at, c.body
                  FROM run_commits AS c
                  LEFT JOIN run_board AS b ON b.tenant_id = c.tenant_id AND b.run_id = c.run_id
                 WHERE c.sequence BETWEEN %(from_sequence)s AND %(to_sequence)s
                   AND (%(workspaces)s::text[] IS NULL OR b.workspace_id = ANY (%(workspaces)s))
                   AND (%(environment)s::text IS NULL OR b.environment_id = %(environment)s)
                 ORDER BY c.sequence
                 LIMIT %(commits)s) AS found) AS measured
 WHERE bytes_before < %(bytes)s
 ORDER BY sequence
"""
# With them what has expired, as the ledger still knows it: the run's closing says where the run was.
OF_TIME = """
SELECT run_id, sequence, at, body, expired_at
  FROM (SELECT *, sum(octet_length(body)) OVER (ORDER BY at, sequence) - octet_length(body) AS bytes_before
          FROM ((SELECT c.run_id, c.sequence, c.at, c.body, NULL::timestamptz AS expired_at
                   FROM run_commits AS c
                   LEFT JOIN run_board AS b ON b.tenant_id = c.tenant_id AND b.run_id = c.run_id
                  WHERE (c.at, c.sequence) >= (%(from_at)s, %(from_sequence)s)
                    AND c.at < %(to_at)s AND c.sequence <= %(to_sequence)s
                    AND (%(workspaces)s::text[] IS NULL OR b.workspace_id = ANY (%(workspaces)s))
                    AND (%(environment)s::text IS NULL OR b.environment_id = %(environment)s)
                    AND (%(workflow)s::text IS NULL OR b.workflow_id = %(workflow)s)
                  ORDER BY c.at, c.sequence
                  LIMIT %(commits)s)
                  UNION ALL
                (SELECT t.run_id, c.sequence, c.at, convert_from(c.leaf_text, 'UTF8'), c.expired_at
                   FROM ledger_commits AS c
                   JOIN run_commits AS t ON t.tenant_id = c.tenant_id AND t.run_id = run_of(c.kind, c.stream_id)
                                        AND t.sequence = c.expired_by
                  CROSS JOIN LATERAL (SELECT t.body::jsonb #> '{events,0}') AS said (e)
                  WHERE c.body IS NULL AND (c.at, c.sequence) >= (%(from_at)s, %(from_sequence)s)
                    AND c.at < %(to_at)s AND c.sequence <= %(to_sequence)s
                    AND (%(workspaces)s::text[] IS NULL OR said.e ->> 'workspace_id' = ANY (%(workspaces)s))
                    AND (%(environment)s::text IS NULL OR said.e ->> 'environment_id' = %(environment)s)
                    AND (%(workflow)s::text IS NULL OR said.e ->> 'workflow_id' = %(workflow)s)
                  ORDER BY c.at, c.sequence
                  LIMIT %(commits)s)
                 ORDER BY at, sequence
                 LIMIT %(commits)s) AS found) AS measured
 WHERE bytes_before < %(bytes)s
 ORDER BY at, sequence
"""
_AT = """
SELECT at FROM run_commits WHERE sequence = %(sequence)s
 UNION ALL
SELECT at FROM ledger_commits WHERE sequence = %(sequence)s AND body IS NULL AND at IS NOT NULL
"""
# Both read models: a commit without its run's row would be taken for one of a workspace that may not be seen.
_FOLDED = """
SELECT coalesce(min(sequence), 0) AS sequence
  FROM projection_positions
 WHERE shard = %(shard)s AND name IN ('run_commits', 'run_board')
"""

Read = Callable[[], AbstractAsyncContextManager[SqlTx]]


class Within(Struct, frozen=True, kw_only=True):
    """What a principal may see: None is everywhere, an empty tuple nowhere."""

    workspaces: tuple[WorkspaceId, ...] | None
    environment: EnvironmentId | None

    def holds(self, workspace_id: WorkspaceId, environment_id: EnvironmentId) -> bool:
        return (self.workspaces is None or workspace_id in self.workspaces) and (
            self.environment is None or self.environment == environment_id
        )

    def narrowed(self, workspace_id: str | None) -> "Within":
        """Only that workspace, if it may be seen at all."""
        if workspace_id is None:
            return self
        seen = self.workspaces is None or workspace_id in self.workspaces
        return Within(workspaces=(WorkspaceId(workspace_id),) if seen else (), environment=self.environment)

    def as_params(self) -> dict[str, Any]:
        workspaces = None if self.workspaces is None else list(self.workspaces)
        return {"workspaces": workspaces, "environment": self.environment}


class _At(Struct, frozen=True):
    at: datetime


class _Folded(Struct, frozen=True):
    sequence: int


async def pages(
    read: Read,
    statement: LiteralString,
    params: Mapping[str, Any],
    from_sequence: int,
    show: Show = as_stored,
) -> AsyncIterator[list[CommitRow]]:
    """Non-empty pages, in order, from the commit at `from_sequence` on, that one included."""
    where = {**params, "from_sequence": from_sequence, "commits": PAGE_COMMITS, "bytes": PAGE_BYTES}
    while True:
        async with read() as tx:
            rows = await tx.rows(statement, where, CommitRow)
        if not rows:
            return
        yield await show(rows)
        where |= {"from_at": rows[-1].at, "from_sequence": rows[-1].sequence + 1}


async def at_of(tx: SqlTx, sequence: int) -> datetime | None:
    """When the commit at this place was made; None when the tenant has none there."""
    found = await tx.row(_AT, {"sequence": sequence}, _At)
    return found.at if found else None


async def folded_up_to(tx: SqlTx, shard: int = 0) -> int:
    """Up to where the read models that pages come from are complete."""
    found = await tx.row(_FOLDED, {"shard": shard}, _Folded)
    assert found is not None, "an aggregate has a row"
    return found.sequence
