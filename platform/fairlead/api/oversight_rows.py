"""How people look after what workflows do, counted for each version of each workflow."""

from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from fairlead.api.commit_pages import Read, Within
from fairlead.domain.ids import WorkflowId
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

PAGE = 200

_COUNTED = """
WITH picked AS (
    SELECT tenant_id, run_id, workflow_id, workflow_name, workflow_version, outcome, compensation
      FROM run_board
     WHERE started_at >= %(begin)s AND started_at < %(end)s
       AND (workflow_id, workflow_version) > (%(after_id)s, %(after_version)s)
       AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
       AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
       AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
), ran AS (
    SELECT workflow_id, workflow_version, max(workflow_name) AS workflow_name, count(*) AS runs,
           count(outcome) AS ended_runs,
           count(*) FILTER (WHERE outcome IS NOT NULL AND compensation IN ('done', 'incomplete')) AS rolled_back_runs
      FROM picked
     GROUP BY workflow_id, workflow_version
), decided AS (
    SELECT p.workflow_id, p.workflow_version, a.run_id, a.status,
           CASE WHEN a.status IN ('granted', 'denied', 'changes_requested', 'edited')
                THEN extract(epoch FROM a.settled_at - a.requested_at)::float8 END AS waited_s
      FROM picked AS p
      JOIN approvals AS a ON a.tenant_id = p.tenant_id AND a.run_id = p.run_id
), answered AS (
    SELECT workflow_id, workflow_version, count(DISTINCT run_id) AS reviewed_runs, count(*) AS approvals,
           count(*) FILTER (WHERE status = 'granted') AS granted,
           count(*) FILTER (WHERE status = 'denied') AS denied,
           count(*) FILTER (WHERE status = 'changes_requested') AS changes_requested,
           count(*) FILTER (WHERE status = 'edited') AS edited,
           count(*) FILTER (WHERE status = 'expired') AS expired,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY waited_s) AS p50_s,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY waited_s) AS p90_s,
           max(waited_s) AS max_s
      FROM decided
     GROUP BY workflow_id, workflow_version
)
SELECT r.workflow_id, r.workflow_name, r.workflow_version, r.runs, r.ended_runs, r.rolled_back_runs,
       coalesce(a.reviewed_runs, 0) AS reviewed_runs, coalesce(a.approvals, 0) AS approvals,
       coalesce(a.granted, 0) AS granted, coalesce(a.denied, 0) AS denied,
       coalesce(a.changes_requested, 0) AS changes_requested, coalesce(a.edited, 0) AS edited,
       coalesce(a.expired, 0) AS expired, a.p50_s, a.p90_s, a.max_s
  FROM ran AS r
  LEFT JOIN answered AS a USING (workflow_id, workflow_version)
 ORDER BY r.workflow_id, r.workflow_version
 LIMIT %(limit)s
"""

Share = Annotated[float, Meta(ge=0, le=1)] | None
Seconds = Annotated[float, Meta(ge=0)] | None


class Oversight(Struct, frozen=True, kw_only=True):
    """Of the runs of one version that were started in the span. People override what is proposed when they deny it, ask
    for changes or edit it; a run is rolled back when something that it did was to be undone. `decision_…_s` is from
    being asked to the decision of people. A share of nothing is null."""

    workflow_id: WorkflowId
    workflow_name: str
    workflow_version: int
    runs: int
    reviewed_runs: Annotated[int, Meta(description="In which something was put before people.")]
    review_share: Share
    approvals: int
    granted: int
    denied: int
    changes_requested: int
    edited: int
    expired: int
    override_rate: Annotated[Share, Meta(description="Of what people decided.")]
    ended_runs: int
    rolled_back_runs: int
    rollback_rate: Annotated[Share, Meta(description="Of the runs that have ended.")]
    decision_p50_s: Seconds
    decision_p90_s: Seconds
    decision_max_s: Seconds


class Span(Struct, frozen=True, kw_only=True):
    """By when runs were started; `end` is exclusive."""

    within: Within
    begin: Instant
    end: Instant
    workflow: str | None = None


Place = tuple[str, int]
START: Place = ("", 0)


async def counted(tx: SqlTx, span: Span, after: Place, limit: int) -> list[Oversight]:
    said = {name: value for name, value in asdict(span).items() if name != "within"}
    params = said | span.within.as_params() | {"after_id": after[0], "after_version": after[1], "limit": limit}
    return await tx.rows(_COUNTED, params, _shown)


async def pages(read: Read, span: Span) -> AsyncIterator[list[Oversight]]:
    """All of it, a transaction a page."""
    place = START
    while True:
        async with read() as tx:
            found = await counted(tx, span, place, PAGE)
        if found:
            yield found
        if len(found) < PAGE:
            return
        place = (found[-1].workflow_id, found[-1].workflow_version)


def _shown(
    *,
    runs: int,
    reviewed_runs: int,
    granted: int,
    denied: int,
    changes_requested: int,
    edited: int,
    ended_runs: int,
    rolled_back_runs: int,
    p50_s: float | None,
    p90_s: float | None,
    max_s: float | None,
    **columns: object,
) -> Oversight:
    otherwise = denied + changes_requested + edited
    return Oversight(
        runs=runs,
        reviewed_runs=reviewed_runs,
        review_share=_share(reviewed_runs, runs),
        granted=granted,
        denied=denied,
        changes_requested=changes_requested,
        edited=edited,
        override_rate=_share(otherwise, granted + otherwise),
        ended_runs=ended_runs,
        rolled_back_runs=rolled_back_runs,
        rollback_rate=_share(rolled_back_runs, ended_runs),
        decision_p50_s=_rounded(p50_s),
        decision_p90_s=_rounded(p90_s),
        decision_max_s=_rounded(max_s),
        **columns,  # type: ignore[arg-type]  # the statement's own columns
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(seconds, 0.0), 3)
