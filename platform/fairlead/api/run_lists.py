"""Which runs there are, newest first. A page goes on below the place of its last run, so runs that begin meanwhile move
nothing."""

from fairlead_tenants.ids import WorkspaceId
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.api.run_views import SUMMARIES, RunSummary, listed
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.status import RunStatus
from fairlead.domain.runs.undoing import CompensationStatus
from fairlead.ports import SqlTx

MAX_LABELS = 20
UNDER_WAY = (
    "running",
    "waiting_for_approval",
    "waiting_for_input",
    "waiting_for_connection",
    "waiting_for_signal",
    "waiting_for_time",
    "paused",
)

# Which index serves best depends on which filters are given, so the plan is made for them each time.
_PLAN_FOR_VALUES = "SET LOCAL plan_cache_mode = force_custom_plan"
_WANTED = """
 WHERE started_sequence < %(below)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(compensation)s::text IS NULL OR compensation = %(compensation)s)
   AND (%(workflow)s::text IS NULL OR workflow_id = %(workflow)s)
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
   AND (%(started_from)s::timestamptz IS NULL OR started_at >= %(started_from)s)
   AND (%(started_to)s::timestamptz IS NULL OR started_at < %(started_to)s)
"""
_NEWEST_FIRST = " ORDER BY started_sequence DESC LIMIT %(limit)s"
_NEWEST = SUMMARIES + _WANTED + _NEWEST_FIRST
_NEWEST_WITH_LABEL = (
    SUMMARIES
    + "  JOIN run_labels AS l USING (tenant_id, run_id, started_sequence)"
    + _WANTED
    + "   AND l.key = %(label_key)s AND l.value = %(label_value)s AND l.started_sequence < %(below)s"
    + _NEWEST_FIRST
)
_UNDER_WAY_WITH_LABEL = """
SELECT run_id, workspace_id
  FROM run_board
  JOIN run_labels AS l USING (tenant_id, run_id, started_sequence)
 WHERE l.key = %(label_key)s AND l.value = %(label_value)s AND status = ANY (%(under_way)s)
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
 ORDER BY started_sequence
 LIMIT %(limit)s
"""


class Label(Struct, frozen=True, kw_only=True):
    key: str
    value: str


class Wanted(Struct, frozen=True, kw_only=True):
    """`started_to` is exclusive; `below` is the place of the last run of the page before."""

    within: Within
    below: int
    limit: int
    status: RunStatus | None = None
    compensation: CompensationStatus | None = None
    workflow: WorkflowId | None = None
    label: Label | None = None
    started_from: Instant | None = None
    started_to: Instant | None = None


class RunAndPlace(Struct, frozen=True):
    run_id: RunId
    workspace_id: WorkspaceId


async def runs_page(tx: SqlTx, wanted: Wanted) -> list[tuple[int, RunSummary]]:
    """Each with its place in the list."""
    params = {
        **wanted.within.as_params(),
        "below": wanted.below,
        "limit": wanted.limit,
        "status": wanted.status,
        "compensation": wanted.compensation,
        "workflow": wanted.workflow,
        "started_from": wanted.started_from,
        "started_to": wanted.started_to,
    }
    await tx.run(_PLAN_FOR_VALUES)
    if wanted.label is None:
        return await tx.rows(_NEWEST, params, listed)
    named = {"label_key": wanted.label.key, "label_value": wanted.label.value}
    return await tx.rows(_NEWEST_WITH_LABEL, params | named, listed)


async def under_way_with(tx: SqlTx, label: Label, within: Within, limit: int) -> list[RunAndPlace]:
    """Runs under way that bear the label, oldest first."""
    params = {
        **within.as_params(),
        "under_way": list(UNDER_WAY),
        "label_key": label.key,
        "label_value": label.value,
        "limit": limit,
    }
    return await tx.rows(_UNDER_WAY_WITH_LABEL, params, RunAndPlace)
