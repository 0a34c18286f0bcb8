"""Finds what a tenant keeps no longer and nothing holds, and says on the log that it goes. Removes nothing."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.consumers.ledger_leaves import old_leaves
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.expiries import (
    BeginExpiry,
    ExpiringRun,
    ExpiryEvent,
    ExpiryOfAccessesBegun,
    ExpiryOfLeavesBegun,
    ExpiryOfObjectsBegun,
    ExpiryOfRunsBegun,
)
from fairlead.domain.expiries import stream_of as expiry_stream
from fairlead.domain.ids import CommandId, RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.retention import Retention
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Ids, SqlSession, StaleObjects

RUNS = 50  # of one expiry
ACCESSES = 1_000  # commits of one expiry
OBJECTS = 200  # of one expiry
DAYS_OF_A_YEAR = 366  # never less than a year
BEGINNING = datetime(1970, 1, 1).astimezone()

_RUNS = """
SELECT b.run_id, b.workspace_id, b.environment_id, b.workflow_id, b.ended_at
  FROM run_board AS b
 WHERE b.tenant_id = %(tenant)s AND b.ended_at < %(before)s AND (b.ended_at, b.run_id) > (%(at)s, %(after)s)
   AND b.compensation IN ('none', 'done', 'incomplete')
   AND NOT b.run_id = ANY (%(held_runs)s)
   AND NOT EXISTS (SELECT FROM unnest(%(held_labels)s::jsonb[]) AS held (labels) WHERE b.labels @> held.labels)
 ORDER BY b.ended_at, b.run_id
 LIMIT %(limit)s
"""
_COMMITS = """
SELECT c.run_id, array_agg(c.sequence ORDER BY c.sequence) AS sequences, sum(c.event_count)::bigint AS events,
       max(c.sequence) FILTER (WHERE c.kind = 'run') AS last_sequence
  FROM run_commits AS c
 WHERE c.tenant_id = %(tenant)s AND c.run_id = ANY (%(run_ids)s)
 GROUP BY c.run_id
"""
_LEAVES = """
SELECT sequence, encode(substring(hashes FROM 1 FOR 32), 'hex') AS leaf
  FROM ledger_commits
 WHERE tenant_id = %(tenant)s AND sequence = ANY (%(sequences)s)
"""
_ACCESSES = """
SELECT a.sequence
  FROM accesses AS a
 WHERE a.tenant_id = %(tenant)s AND a.at < %(before)s
   AND NOT EXISTS (SELECT FROM accesses AS later
                    WHERE later.tenant_id = a.tenant_id AND later.sequence = a.sequence AND later.at >= %(before)s)
 GROUP BY a.sequence
 ORDER BY a.sequence
 LIMIT %(limit)s
"""


class _Run(Struct, frozen=True, kw_only=True):
    run_id: RunId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: WorkflowId
    ended_at: datetime


class _Commits(Struct, frozen=True, kw_only=True):
    run_id: str
    sequences: list[int]
    events: int
    last_sequence: int


class _Leaf(Struct, frozen=True):
    sequence: int
    leaf: str


class _At(Struct, frozen=True):
    sequence: int


class Place(Struct, frozen=True):
    """Up to where runs have been looked at, by the time of their end."""

    at: datetime = BEGINNING
    run_id: str = ""


class Expiring:
    def __init__(self, handler: Handler, ids: Ids) -> None:
        self._handler = handler
        self._ids = ids

    async def begin_runs(
        self, session: SqlSession, tenant_id: TenantId, retention: Retention, now: Instant, after: Place
    ) -> tuple[str | None, Place | None]:
        """The expiry that was begun, if anything is to go, and where to look next; None: there is no more."""
        before = now - timedelta(days=retention.at(now).runs_days)
        found = await _runs(session, tenant_id, retention, before, after)
        if not found:
            return None, None
        runs = await _in_full(session, tenant_id, found)
        begun = await self._begin(tenant_id, ExpiryOfRunsBegun(ended_before=before, runs=runs)) if runs else None
        return begun, Place(found[-1].ended_at, found[-1].run_id)

    async def begin_accesses(
        self, session: SqlSession, tenant_id: TenantId, retention: Retention, now: Instant
    ) -> str | None:
        """The expiry that was begun, if anything is to go."""
        before = now - timedelta(days=retention.at(now).access_days)
        async with session.transaction() as tx:
            await tx.fence(tenant_id)
            where = {"tenant": tenant_id, "before": before, "limit": ACCESSES}
            rows = await tx.rows(_ACCESSES, where, _At)
        if not rows:
            return None
        sequences = tuple(row.sequence for row in rows)
        return await self._begin(tenant_id, ExpiryOfAccessesBegun(made_before=before, sequences=sequences))

    async def begin_leaves(
        self, session: SqlSession, tenant_id: TenantId, retention: Retention, now: Instant
    ) -> str | None:
        """The expiry that was begun, if anything is to go."""
        before = now - timedelta(days=DAYS_OF_A_YEAR * retention.at(now).ledger_years)
        sequences = await old_leaves(session, tenant_id, before, held(retention)["held_runs"])
        if not sequences:
            return None
        return await self._begin(tenant_id, ExpiryOfLeavesBegun(made_before=before, sequences=sequences))

    async def begin_objects(
        self, objects: StaleObjects, tenant_id: TenantId, retention: Retention, now: Instant
    ) -> str | None:
        """The expiry that was begun, if anything is to go."""
        if (days := retention.at(now).objects_days) is None:
            return None
        before = now - timedelta(days=days)
        versions = await objects.older(tenant_id, before, OBJECTS)
        if not versions:
            return None
        return await self._begin(tenant_id, ExpiryOfObjectsBegun(stored_before=before, versions=tuple(versions)))

    async def _begin(self, tenant_id: TenantId, what: ExpiryEvent) -> str:
        expiry_id = self._ids.new("exp")
        cause = Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{expiry_id}"))
        await self._handler.handle(expiry_stream(tenant_id, expiry_id), BeginExpiry(what=what), cause)
        return expiry_id


async def _runs(
    session: SqlSession, tenant_id: TenantId, retention: Retention, before: Instant, after: Place
) -> list[_Run]:
    where: dict[str, Any] = {
        "tenant": tenant_id,
        "before": before,
        "at": after.at,
        "after": after.run_id,
        "limit": RUNS,
        **held(retention),
    }
    async with session.transaction() as tx:
        await tx.fence(tenant_id)
        return await tx.rows(_RUNS, where, _Run)


async def _in_full(session: SqlSession, tenant_id: TenantId, runs: list[_Run]) -> tuple[ExpiringRun, ...]:
    """Those whose last commit is in the ledger: nothing goes of which no proof remains."""
    async with session.transaction() as tx:
        await tx.fence(tenant_id)
        where = {"tenant": tenant_id, "run_ids": [run.run_id for run in runs]}
        commits = {row.run_id: row for row in await tx.rows(_COMMITS, where, _Commits)}
        last = [row.sequences[-1] for row in commits.values()]
        leaves = {
            row.sequence: row.leaf for row in await tx.rows(_LEAVES, {"tenant": tenant_id, "sequences": last}, _Leaf)
        }
    return tuple(
        ExpiringRun(
            run_id=run.run_id,
            workspace_id=run.workspace_id,
            environment_id=run.environment_id,
            workflow_id=run.workflow_id,
            ended_at=run.ended_at,
            events=of.events,
            last_sequence=of.last_sequence,
            last_leaf=leaves[of.sequences[-1]],
            sequences=tuple(of.sequences),
        )
        for run in runs
        if (of := commits.get(run.run_id)) is not None and of.sequences[-1] in leaves
    )


def held(retention: Retention) -> dict[str, list[str]]:
    """Parameters of a statement that leaves out what is held."""
    holds = retention.holds.values()
    return {
        "held_runs": [hold.run_id for hold in holds if hold.run_id is not None],
        "held_labels": [msgspec.json.encode(hold.labels).decode() for hold in holds if hold.labels],
    }
