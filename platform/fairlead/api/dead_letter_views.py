"""Dead letters as they are shown, from the read model."""

from typing import Annotated, Any, Literal

from fairlead_sdk.contract import Effect, Idempotency
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.api.commit_pages import Within
from fairlead.domain.ids import CallId, RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events import ErrorClass
from fairlead.domain.runs.status import RunStatus
from fairlead.ports import SqlTx

LetterStatus = Literal["open", "replaying", "done", "replayed_as_run", "discarded"]
LetterKind = Literal["call", "undo"]

_COLUMNS = """
SELECT d.letter_id, d.kind, d.call_id, d.run_id, b.status AS run_status, b.workspace_id, b.environment_id,
       b.workflow_id, b.workflow_name, c.step, c.tool, c.tool_version, c.effect, c.idempotency, d.status,
       d.error_class, d.code, d.message,
       d.attempt, d.failed_at, d.updated_at, d.replay_key, d.as_run_id, d.reason, c.arguments, d.edited,
       d.sequence
  FROM dead_letters AS d
  JOIN run_board AS b ON b.tenant_id = d.tenant_id AND b.run_id = d.run_id
  JOIN tool_calls AS c ON c.tenant_id = d.tenant_id AND c.call_id = d.call_id
"""
_ONE = _COLUMNS + " WHERE d.letter_id = %(letter_id)s"
# See `_PLAN_FOR_VALUES` in run_lists.py.
_PLAN_FOR_VALUES = "SET LOCAL plan_cache_mode = force_custom_plan"
_NEWEST = (
    _COLUMNS
    + """
 WHERE (d.sequence, d.letter_id) < (%(below_sequence)s, %(below_letter)s)
   AND (%(status)s::text IS NULL OR d.status = %(status)s)
   AND (%(kind)s::text IS NULL OR d.kind = %(kind)s)
   AND (%(code)s::text IS NULL OR d.code = %(code)s)
   AND (%(run_id)s::text IS NULL OR d.run_id = %(run_id)s)
   AND (%(tool)s::text IS NULL OR c.tool = %(tool)s)
   AND (%(workflow)s::text IS NULL OR b.workflow_id = %(workflow)s)
   AND (%(workspaces)s::text[] IS NULL OR b.workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR b.environment_id = %(environment)s)
 ORDER BY d.sequence DESC, d.letter_id DESC
 LIMIT %(limit)s
"""
)


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A call that failed for good, or an effect that could not be undone. Texts and arguments are redacted."""

    letter_id: Annotated[str, Meta(description="The call, or the call and `-undo`.")]
    kind: LetterKind
    call_id: CallId
    run_id: RunId
    run_status: RunStatus
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: WorkflowId
    workflow_name: str
    step: str
    tool: str
    tool_version: str
    effect: Effect
    idempotency: Idempotency
    status: LetterStatus
    error_class: ErrorClass
    code: str
    message: str
    attempt: int
    failed_at: Instant
    updated_at: Instant
    replay_key: Annotated[str | None, Meta(description="The idempotency key that it was replayed under last.")]
    as_run_id: Annotated[RunId | None, Meta(description="The run that was forked to make the call again.")]
    reason: Annotated[str | None, Meta(description="What was said when it was replayed or discarded.")]
    arguments: Any
    edited: Annotated[
        Any, Meta(description="What it would be made with now, where a person has changed it; else null.")
    ]


class Placed(Struct, frozen=True):
    """A letter and its place in the list."""

    letter: DeadLetter
    sequence: int

    @property
    def place(self) -> str:
        return f"{self.sequence}-{self.letter.letter_id}"


class Wanted(Struct, frozen=True, kw_only=True):
    """`below` is the place of the last letter of the page before."""

    within: Within
    limit: int
    below: str | None = None
    status: LetterStatus | None = None
    kind: LetterKind | None = None
    code: str | None = None
    run: str | None = None
    tool: str | None = None
    workflow: str | None = None


async def letter_of(tx: SqlTx, letter_id: str) -> DeadLetter | None:
    found = await tx.row(_ONE, {"letter_id": letter_id}, _placed)
    return found.letter if found else None


async def letters_page(tx: SqlTx, wanted: Wanted, last: int) -> list[Placed]:
    """Newest first. `last` is past everything."""
    sequence, _, letter_id = (wanted.below or f"{last}-").partition("-")
    params = {
        **wanted.within.as_params(),
        "below_sequence": int(sequence),
        "below_letter": letter_id,
        "limit": wanted.limit,
        "status": wanted.status,
        "kind": wanted.kind,
        "code": wanted.code,
        "run_id": wanted.run,
        "tool": wanted.tool,
        "workflow": wanted.workflow,
    }
    await tx.run(_PLAN_FOR_VALUES)
    return await tx.rows(_NEWEST, params, _placed)


def _placed(*, sequence: int, **columns: Any) -> Placed:
    return Placed(DeadLetter(**columns), sequence)
