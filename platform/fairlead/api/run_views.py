"""Runs as they are shown: from the read model, and from the log where the read model has not got yet."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Meta, Struct, convert, structs
from msgspec.structs import replace

from fairlead.domain.envelope import Actor
from fairlead.domain.ids import ApprovalId, CallId, QuestionId, RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.obligations import Awaiting, awaiting
from fairlead.domain.runs.states import Active, Ended, NotStarted
from fairlead.domain.runs.status import RunStatus, said_of, status_of
from fairlead.domain.runs.undoing import CompensationStatus
from fairlead.ports import AnyRecorded, SqlTx

ActorKind = Literal["person", "service_account", "agent", "system"]


class Parent(Struct, frozen=True, kw_only=True):
    """Where a fork begins: its parent's history up to and including this version."""

    run_id: RunId
    version: int


class RunSummary(Struct, frozen=True, kw_only=True):
    """`version` and `sequence`, its commit's place on the log, are of the last event that is taken into account."""

    run_id: RunId
    status: RunStatus
    awaiting: Awaiting
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    environment_kind: Literal["live", "test"]
    workflow_id: WorkflowId
    workflow_name: str
    workflow_version: int
    workflow_hash: str
    policy_version: str
    planner: str
    agent_principal_id: PrincipalId
    started_by: Actor
    labels: dict[str, str]
    parent: Parent | None
    started_at: Instant
    deadline_at: Instant
    ended_at: Instant | None
    paused_reason: str | None
    reason_code: Annotated[str | None, Meta(description="Why the run ended: a distinct code for each cause.")]
    reason: str | None
    tool_calls: int
    model_calls: int
    tokens: Annotated[int, Meta(description="That its model calls have used.")]
    cost_usd_micros: Annotated[int, Meta(description="Of its model calls, in millionths of a US dollar.")]
    compensation: Annotated[
        CompensationStatus, Meta(description="How far a run that ended without completing has undone what it did.")
    ]
    updated_at: Instant
    version: int
    sequence: int


class OpenQuestion(Struct, frozen=True, kw_only=True):
    """An answer must fit `schema`; whoever answers must hold one of `roles`, if any are named."""

    question_id: QuestionId
    purpose: e.QuestionPurpose
    question: str
    step: str
    schema: Any
    roles: tuple[str, ...]
    deadline_at: Instant | None


class AwaitedApproval(Struct, frozen=True, kw_only=True):
    approval_id: ApprovalId
    call_id: CallId
    step: str
    tool: str


class AwaitedConnection(Struct, frozen=True, kw_only=True):
    """A call that goes out again by itself once somebody has given access to the account."""

    connection_id: str
    call_id: CallId
    step: str
    tool: str
    code: Annotated[str, Meta(description="`reconnect_needed`, or `scope_missing` with the `scope` that is.")]
    scope: str
    message: str


class Wait(Struct, frozen=True, kw_only=True):
    """A step that waits for a signal of this name, or for a time."""

    what: Literal["signal", "time"]
    step: str
    name: str
    due_at: Instant | None


class Awaited(Struct, frozen=True, kw_only=True):
    """Everything that somebody or something outside owes a run."""

    questions: list[OpenQuestion]
    approvals: list[AwaitedApproval]
    connections: list[AwaitedConnection]
    waits: list[Wait]


NOTHING = Awaited(questions=[], approvals=[], connections=[], waits=[])


class RunDetail(RunSummary, frozen=True, kw_only=True):
    input: Any
    output: Annotated[Any, Meta(description="Null until the run has completed.")]
    awaited: Awaited


# --- from the read model ----------------------------------------------------------------------------------------------

# The columns are what `listed` takes.
SUMMARIES = """
SELECT run_id, status, CASE WHEN outcome IS NULL AND paused_reason IS NULL THEN awaiting ELSE 'nothing' END AS awaiting,
       workspace_id, environment_id, environment_kind, workflow_id, workflow_name, workflow_version, workflow_hash,
       policy_version, planner, agent_principal_id, started_by_kind, started_by, labels, parent_run_id, parent_version,
       started_at, deadline_at, ended_at, paused_reason, reason_code, reason, tool_calls, model_calls,
       tokens, cost_usd_micros, compensation, updated_at, stream_version AS version,
       last_sequence AS sequence, started_sequence
  FROM run_board
"""
_RUN = SUMMARIES + " WHERE run_id = %(run_id)s"
_QUESTIONS = """
SELECT item AS question_id, name AS purpose, question, step, schema, roles, due_at AS deadline_at
  FROM run_waits
 WHERE run_id = %(run_id)s AND what = 'question' AND open
 ORDER BY stream_version
"""
_APPROVALS = """
SELECT approval_id, call_id, step, tool
  FROM tool_calls
 WHERE run_id = %(run_id)s AND status = 'awaiting_approval'
 ORDER BY requested_sequence, call_id
"""
_CONNECTIONS = """
SELECT connection_id, call_id, step, tool, error_code AS code, scope, error_message AS message
  FROM tool_calls
 WHERE run_id = %(run_id)s AND status = 'awaiting_connection'
 ORDER BY requested_sequence, call_id
"""
_WAITS = """
SELECT what, step, name, due_at
  FROM run_waits
 WHERE run_id = %(run_id)s AND what IN ('signal', 'time') AND open
 ORDER BY what, stream_version
"""
# What a run was given and gave is in its first commit and in the one that ended it.
_EDGES = """
SELECT body::json AS commit
  FROM run_commits
 WHERE run_id = %(run_id)s AND kind = 'run' AND (sequence = %(started_sequence)s OR at = %(ended_at)s)
 ORDER BY sequence
"""


class _Edge(Struct, frozen=True):
    """An event, as far as a run's input and output are in it."""

    type: str
    input: Any = None
    output: Any = None
    inherited: list["_Edge"] = []


class _EdgeCommit(Struct, frozen=True):
    events: list[_Edge]


class _Body(Struct, frozen=True):
    commit: dict[str, Any]


async def run_from_board(tx: SqlTx, run_id: str) -> RunDetail | None:
    """None when the read model has no such run, which does not mean that there is none."""
    found = await tx.row(_RUN, {"run_id": run_id}, listed)
    if found is None:
        return None
    started_sequence, summary = found
    edges = {"run_id": run_id, "started_sequence": started_sequence, "ended_at": summary.ended_at}
    given, output = _input_and_output([row.commit for row in await tx.rows(_EDGES, edges, _Body)])
    awaited = await awaited_from_board(tx, run_id) if summary.ended_at is None else await _of_undoing(tx, summary)
    return RunDetail(**structs.asdict(summary), input=given, output=output, awaited=awaited)


async def awaited_from_board(tx: SqlTx, run_id: str) -> Awaited:
    where = {"run_id": run_id}
    return Awaited(
        questions=await tx.rows(_QUESTIONS, where, OpenQuestion),
        approvals=await tx.rows(_APPROVALS, where, AwaitedApproval),
        connections=await tx.rows(_CONNECTIONS, where, AwaitedConnection),
        waits=await tx.rows(_WAITS, where, Wait),
    )


async def _of_undoing(tx: SqlTx, run: RunSummary) -> Awaited:
    """What a run that has ended still asks people."""
    if run.compensation != "waiting_for_person":
        return NOTHING
    asked = await tx.rows(_QUESTIONS, {"run_id": run.run_id}, OpenQuestion)
    return replace(NOTHING, questions=[each for each in asked if each.purpose == "compensation"])


def listed(
    *,
    started_sequence: int,
    started_by_kind: ActorKind,
    started_by: PrincipalId,
    parent_run_id: RunId | None,
    parent_version: int | None,
    **columns: Any,
) -> tuple[int, RunSummary]:
    """A row of run_board: its place in lists and what is shown of it."""
    parent = None
    if parent_run_id is not None and parent_version is not None:
        parent = Parent(run_id=parent_run_id, version=parent_version)
    started = Actor(kind=started_by_kind, id=started_by)
    return started_sequence, RunSummary(**columns, started_by=started, parent=parent)


def _input_and_output(found: Sequence[dict[str, Any]]) -> tuple[Any, Any]:
    commits = [convert(commit, _EdgeCommit).events for commit in found]
    if not commits:
        return None, None  # the timeline is not as far as the board
    first = commits[0][0]
    while first.inherited:  # a fork was given what its parent was
        first = first.inherited[0]
    outputs = [event.output for events in commits for event in events if event.type == "run.completed.v1"]
    return first.input, outputs[0] if outputs else None


# --- from the log -----------------------------------------------------------------------------------------------------


def run_from_log(history: Sequence[AnyRecorded]) -> RunDetail | None:
    """The same of a run's whole history. None when it is empty, or has expired."""
    state = fold(NotStarted(), (event for recorded in history for event in recorded.commit.events))
    if not isinstance(state, Active | Ended):
        return None
    active = state.last if isinstance(state, Ended) else state
    ended = state if isinstance(state, Ended) else None
    code, reason = said_of(ended.ending) if ended else (None, None)
    start, first, last = active.start, history[0].commit, history[-1]
    return RunDetail(
        run_id=active.run_id,
        status=status_of(state),
        awaiting="nothing" if ended else awaiting(active),
        workspace_id=start.workspace_id,
        environment_id=start.environment_id,
        environment_kind=start.environment_kind,
        workflow_id=start.workflow_id,
        workflow_name=start.workflow_name,
        workflow_version=start.workflow_version,
        workflow_hash=start.workflow_hash,
        policy_version=start.policy_version,
        planner=start.planner,
        agent_principal_id=start.agent_principal_id,
        started_by=first.actor,
        labels=start.labels,
        parent=_parent(active),
        started_at=active.parent.started_at if active.parent else start.started_at,
        deadline_at=active.deadline_at,
        ended_at=_ended_at(history),
        paused_reason=active.paused,
        reason_code=code,
        reason=reason,
        tool_calls=active.tool_calls_used,
        model_calls=active.model_calls_used,
        tokens=active.tokens_used,
        cost_usd_micros=active.cost_usd_micros,
        compensation=ended.undoing.status if ended else "none",
        updated_at=last.commit.at,
        version=last.commit.last_version,
        sequence=last.sequence,
        input=start.input,
        output=ended.ending.output if ended and isinstance(ended.ending, e.RunCompleted) else None,
        awaited=awaited_after(ended) if ended else awaited_of(active),
    )


def awaited_after(state: Ended) -> Awaited:
    """What a run that has ended still asks people: effects that could not be undone."""
    head = state.undoing.head
    asked = state.last.questions.get(head.question_id) if head is not None and head.question_id else None
    return NOTHING if asked is None else replace(NOTHING, questions=[_question(asked)])


def awaited_of(state: Active) -> Awaited:
    return Awaited(
        questions=[_question(asked) for asked in state.questions.values()],
        approvals=[
            AwaitedApproval(
                approval_id=call.approval.approval_id,
                call_id=call.request.call_id,
                step=call.request.step,
                tool=call.request.tool,
            )
            for call in state.calls.values()
            if call.phase == "awaiting_approval" and call.approval is not None
        ],
        connections=[
            AwaitedConnection(
                connection_id=call.missing.connection_id,
                call_id=call.request.call_id,
                step=call.request.step,
                tool=call.request.tool,
                code=call.missing.code,
                scope=call.missing.scope,
                message=call.missing.message,
            )
            for call in state.calls.values()
            if call.phase == "awaiting_connection" and call.missing is not None
        ],
        waits=[
            *(
                Wait(what="signal", step=s.step, name=s.name, due_at=s.deadline_at)
                for s in state.signals_awaited.values()
            ),
            *(Wait(what="time", step=t.step, name="", due_at=t.due_at) for t in state.times_awaited.values()),
        ],
    )


def _question(asked: e.QuestionAsked) -> OpenQuestion:
    return OpenQuestion(
        question_id=asked.question_id,
        purpose=asked.purpose,
        question=asked.question,
        step=asked.step,
        schema=asked.schema,
        roles=asked.roles,
        deadline_at=asked.deadline_at,
    )


def _parent(state: Active) -> Parent | None:
    forked = state.parent
    return Parent(run_id=forked.parent_run_id, version=forked.parent_version) if forked else None


def _ended_at(history: Sequence[AnyRecorded]) -> Instant | None:
    for recorded in history:
        if any(isinstance(event, e.RunEnding) for event in recorded.commit.events):
            return recorded.commit.at
    return None
