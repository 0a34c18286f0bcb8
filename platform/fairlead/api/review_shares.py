"""How much people really look at: of runs and of calls, by workflow, by policy and by rule."""

from datetime import timedelta
from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal
from fairlead_tenants.ids import WorkspaceId
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from fairlead.api.guards import requires
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import within
from fairlead.domain.instant import Instant

MAX_RUNS = 20_000
MAX_GROUPS = 200

# A run without a call is a run that nobody had to look at. `policy` is whose rule spoke last: of a layer, of the
# workflow's own document, or none (`default.…`, `review.…`, `autonomy.…`).
_SHARES = """
WITH recent AS (
    SELECT run_id, workspace_id, workflow_name
      FROM run_board
     WHERE started_at >= %(since)s
       AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
       AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
       AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
     ORDER BY started_sequence DESC
     LIMIT %(most)s
), asked AS (
    SELECT r.run_id, r.workspace_id, r.workflow_name, c.call_id, c.rule_id, c.approval_id IS NOT NULL AS reviewed,
           CASE WHEN c.rule_id LIKE 'tenant:%%' THEN 'tenant'
                WHEN c.rule_id LIKE 'workspace:%%' THEN 'workspace'
                WHEN c.rule_id LIKE 'workflow:%%' THEN 'workflow'
                WHEN c.rule_id LIKE '%%.%%' THEN 'none'
                WHEN c.rule_id IS NOT NULL THEN 'document' END AS policy
      FROM recent AS r
      LEFT JOIN tool_calls AS c ON c.run_id = r.run_id AND c.verdict IS NOT NULL
)
SELECT CASE WHEN grouping(workflow_name) = 0 THEN 'workflow' WHEN grouping(rule_id) = 0 THEN 'rule'
            WHEN grouping(policy) = 0 THEN 'policy' ELSE 'all' END AS part,
       workspace_id, workflow_name AS workflow, policy, rule_id,
       count(DISTINCT run_id) AS runs, count(DISTINCT run_id) FILTER (WHERE reviewed) AS reviewed_runs,
       count(call_id) AS calls, count(call_id) FILTER (WHERE reviewed) AS reviewed_calls
  FROM asked
 GROUP BY GROUPING SETS ((), (workspace_id, workflow_name), (policy), (policy, rule_id))
 ORDER BY reviewed_runs DESC, runs DESC, part, workspace_id, workflow_name, policy, rule_id
"""


class Shares(Struct, frozen=True, kw_only=True):
    """Reviewed is what a person was asked to sign. Shares are of 1; 0 where there is nothing."""

    runs: int
    reviewed_runs: int
    reviewed_runs_share: float
    calls: int
    reviewed_calls: int
    reviewed_calls_share: float


class WorkflowShares(Shares, frozen=True, kw_only=True):
    workspace_id: WorkspaceId
    workflow: str


class PolicyShares(Shares, frozen=True, kw_only=True):
    """`policy` is `tenant`, `workspace`, `workflow`, `document` for the workflow's own, `none` where no rule spoke."""

    policy: str


class RuleShares(PolicyShares, frozen=True, kw_only=True):
    rule_id: str


class ReviewShare(Struct, frozen=True, kw_only=True):
    """What people were asked about, against what they are meant to be. `complete` False: only the newest runs, so many
    as one answer looks at. Groups are those with most reviewed runs, 200 at most."""

    since: Instant
    target_share: float
    is_within_target: bool
    complete: bool
    all: Shares
    by_workflow: list[WorkflowShares]
    by_policy: list[PolicyShares]
    by_rule: list[RuleShares]


class _Row(Struct, frozen=True, kw_only=True):
    part: str
    workspace_id: WorkspaceId | None
    workflow: str | None
    policy: str | None
    rule_id: str | None
    runs: int
    reviewed_runs: int
    calls: int
    reviewed_calls: int

    def shares(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "reviewed_runs": self.reviewed_runs,
            "reviewed_runs_share": _share(self.reviewed_runs, self.runs),
            "calls": self.calls,
            "reviewed_calls": self.reviewed_calls,
            "reviewed_calls_share": _share(self.reviewed_calls, self.calls),
        }


@get("/v1/policies/review-share", opt=requires(Permission.POLICY_READ, "run_board"), tags=["Policies"])
async def get_review_share(
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    days: Annotated[int, QueryParameter(ge=1, le=365, description="Runs that started within so many days.")] = 30,
    target_share: Annotated[float, QueryParameter(ge=0.0, le=1.0, description="Of runs, that people look at.")] = 0.1,
    workflow: Annotated[str | None, QueryParameter(max_length=63, description="Of this name only.")] = None,
) -> ReviewShare:
    """The share of runs and of calls that people were asked about, of those that the principal may see, by workflow, by
    policy and by rule, against a target."""
    since = parts.clock.now() - timedelta(days=days)
    params = within(principal, Permission.RUN_READ).as_params() | {
        "since": since,
        "workflow": workflow,
        "most": MAX_RUNS,
    }
    async with parts.database.read(principal.tenant_id) as tx:
        rows = await tx.rows(_SHARES, params, _Row)
    return shown(rows, since, target_share)


def shown(rows: list[_Row], since: Instant, target_share: float) -> ReviewShare:
    (whole,) = (row for row in rows if row.part == "all")
    everything = Shares(**whole.shares())
    return ReviewShare(
        since=since,
        target_share=target_share,
        is_within_target=everything.reviewed_runs_share <= target_share,
        complete=whole.runs < MAX_RUNS,
        all=everything,
        by_workflow=[
            WorkflowShares(workspace_id=row.workspace_id, workflow=row.workflow, **row.shares())
            for row in rows
            if row.part == "workflow" and row.workspace_id is not None and row.workflow is not None
        ][:MAX_GROUPS],
        by_policy=[
            PolicyShares(policy=row.policy, **row.shares())
            for row in rows
            if row.part == "policy" and row.policy is not None
        ],
        by_rule=[
            RuleShares(policy=row.policy, rule_id=row.rule_id, **row.shares())
            for row in rows
            if row.part == "rule" and row.policy is not None and row.rule_id is not None
        ][:MAX_GROUPS],
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
