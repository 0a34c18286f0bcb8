"""Approvals as they are shown: the queue, and one with all that a reviewer is to look at."""

from typing import Annotated, Any, Literal

from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Meta, Struct, convert
from msgspec.structs import asdict, replace

from fairlead.api.commit_pages import Within
from fairlead.domain.ids import ApprovalId, CallId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.masking import masked
from fairlead.ports import SqlTx

ApprovalStatus = Literal["pending", "granted", "denied", "changes_requested", "edited", "expired", "withdrawn"]

_APPROVAL = """
SELECT a.approval_id, a.run_id, a.call_id, a.workspace_id, b.environment_id, a.workflow_name, a.tool, a.rule_id,
       a.reason, a.digest, a.count, a.roles, a.requested_by, a.status, a.answers, a.requested_at, a.deadline_at,
       a.settled_at, a.settled_reason, a.level, a.claimed_by, a.claimed_until,
       a.requested_sequence, a.arguments, a.evidence, a.fingerprint, a.sensitive
  FROM approvals AS a
  JOIN run_board AS b ON b.tenant_id = a.tenant_id AND b.run_id = a.run_id
 WHERE a.approval_id = %(approval_id)s
"""
# See `_PLAN_FOR_VALUES` in run_lists.py.
_PLAN_FOR_VALUES = "SET LOCAL plan_cache_mode = force_custom_plan"
_NEWEST = """
SELECT a.approval_id, a.run_id, a.call_id, a.workspace_id, b.environment_id, a.workflow_name, a.tool, a.rule_id,
       a.reason, a.digest, a.count, a.roles, a.requested_by, a.status, a.answers, a.requested_at, a.deadline_at,
       a.settled_at, a.settled_reason, a.level, a.claimed_by, a.claimed_until,
       a.requested_sequence, a.sensitive
  FROM approvals AS a
  JOIN run_board AS b ON b.tenant_id = a.tenant_id AND b.run_id = a.run_id
 WHERE a.requested_sequence < %(below)s
   AND (%(status)s::text IS NULL OR a.status = %(status)s)
   AND (%(run_id)s::text IS NULL OR a.run_id = %(run_id)s)
   AND (%(workflow)s::text IS NULL OR a.workflow_name = %(workflow)s)
   AND (%(tool)s::text IS NULL OR a.tool = %(tool)s)
   AND (%(role)s::text IS NULL OR %(role)s = ANY (a.roles))
   AND (%(before)s::timestamptz IS NULL OR a.requested_at < %(before)s)
   AND (%(claimed_by)s::text IS NULL OR (a.claimed_by = %(claimed_by)s AND a.claimed_until > %(now)s))
   AND (%(workspaces)s::text[] IS NULL OR a.workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR b.environment_id = %(environment)s)
 ORDER BY a.requested_sequence DESC
 LIMIT %(limit)s
"""


class Answer(Struct, frozen=True, kw_only=True):
    principal_id: PrincipalId
    approves: bool
    comment: str
    at: Instant
    on_behalf_of: Annotated[PrincipalId | None, Meta(description="Whoever had delegated their approving.")] = None
    arguments: Annotated[Any, Meta(description="What the call was given instead, by an edit.")] = None


class ApprovalSummary(Struct, frozen=True, kw_only=True):
    """`count` signatures are needed, each of another person who holds one of `roles` and is none of `requested_by`."""

    approval_id: ApprovalId
    run_id: RunId
    call_id: CallId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_name: str
    tool: str
    rule_id: str
    reason: str
    digest: Annotated[str, Meta(description="Of exactly what would be done. A signature names it.")]
    count: int
    roles: list[str]
    requested_by: list[PrincipalId]
    status: ApprovalStatus
    answers: list[Answer]
    requested_at: Instant
    deadline_at: Instant
    settled_at: Instant | None
    settled_reason: str | None
    claimed_by: Annotated[PrincipalId | None, Meta(description="Who looks into it, if `claimed_until` is not past.")]
    claimed_until: Instant | None
    level: Annotated[int, Meta(description="How often more people were asked because nobody had answered.")]


class ApprovalDetail(ApprovalSummary, frozen=True, kw_only=True):
    """`fingerprint` is of the state that the evidence shows; if that moves before the call is made, people are asked
    again. What is in the places `sensitive` is shown as `[sensitive]`."""

    arguments: Any
    evidence: Any
    fingerprint: str
    sensitive: Annotated[
        list[str],
        Meta(description="Pointers into `arguments` and `evidence`, in which `*` is any element of a list."),
    ]


def masked_view(found: ApprovalDetail) -> ApprovalDetail:
    """As every reviewer sees it."""
    if not found.sensitive:
        return found
    return replace(
        found,
        arguments=masked("arguments", found.arguments, found.sensitive),
        evidence=masked("evidence", found.evidence, found.sensitive),
        answers=[
            replace(each, arguments=masked("arguments", each.arguments, found.sensitive)) for each in found.answers
        ],
    )


async def approval_of(tx: SqlTx, approval_id: str) -> ApprovalDetail | None:
    return await tx.row(_APPROVAL, {"approval_id": approval_id}, _detail)


class Wanted(Struct, frozen=True, kw_only=True):
    """Which approvals a list shows; None is any."""

    within: Within
    below: int
    limit: int
    now: Instant
    status: ApprovalStatus | None = None
    run_id: RunId | None = None
    workflow: str | None = None
    tool: str | None = None
    role: str | None = None
    before: Instant | None = None
    claimed_by: PrincipalId | None = None


async def approvals_page(tx: SqlTx, wanted: Wanted) -> list[tuple[int, ApprovalSummary]]:
    """Newest first, each with its place in the list."""
    said = asdict(wanted)
    params = {**wanted.within.as_params(), **{name: value for name, value in said.items() if name != "within"}}
    await tx.run(_PLAN_FOR_VALUES)
    return await tx.rows(_NEWEST, params, _listed)


def _listed(
    *, requested_sequence: int, answers: list[Any], sensitive: list[str], **columns: Any
) -> tuple[int, ApprovalSummary]:
    shown = [
        replace(each, arguments=masked("arguments", each.arguments, sensitive))
        for each in convert(answers, list[Answer])
    ]
    return requested_sequence, ApprovalSummary(**columns, answers=shown)


def _detail(*, requested_sequence: int, answers: list[Any], **columns: Any) -> ApprovalDetail:  # noqa: ARG001
    return ApprovalDetail(**columns, answers=convert(answers, list[Answer]))
