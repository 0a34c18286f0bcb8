"""Facts of a run. Tags are permanent; a new shape is a new tag and an upcaster.

A call passes requested → judged → dispatched → completed, some then → verified, and leaves that path by denied,
approval_requested, failed, outcome_unknown or released. `step` is the planner's path of the step
(see planning/seam.py).
"""

from typing import Any, Literal

from fairlead_sdk.contract import Effect, Idempotency
from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Struct, field

from fairlead.domain.envelope import Event
from fairlead.domain.ids import ApprovalId, CallId, QuestionId, RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import NO_OBLIGATIONS, Obligations
from fairlead.domain.policy.trial import Trial

ErrorClass = Literal[
    "transient",
    "rate_limited",
    "timeout",
    "permanent",
    "validation",
    "policy",
    "permission",
    "unknown_outcome",
    "outage",
]
Verdict = Literal["allow", "deny", "require_approval"]
DeniedBy = Literal["policy", "approval", "changes", "permission", "limit", "switch", "budget"]
LimitName = Literal["tool_calls", "model_calls", "steps", "tokens", "cost_usd_micros"]
QuestionPurpose = Literal["step", "limit", "outcome", "mismatch", "compensation"]
SettledHow = Literal["call", "read_back", "person", "preview"]
OnExpiry = Literal["deny", "skip", "end_run"]
OnOutage = Literal["wait", "fail", "cached", "read_only"]
HeldFor = Literal["rate", "concurrency", "outage", "switch", "budget"]
OnMismatch = Literal["ask", "compensate", "continue"]
ReadBackVerdict = Literal["matched", "drifted", "unverifiable"]
IncidentKind = Literal["readback_drifted", "compensation_failed"]
UndoneHow = Literal["call", "nothing_to_undo", "person"]


class RunLimits(Struct, frozen=True, kw_only=True):
    """The most a run may use. The limit-th is allowed, the next is not."""

    tool_calls: int
    model_calls: int
    steps: int
    tokens: int
    cost_usd_micros: int
    on_limit: Literal["end", "ask"] = "end"


class CallRetry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which failures of a call are tried again, how often and how far apart (full jitter, doubling)."""

    attempts: int = 3
    initial_ms: int = 500
    max_ms: int = 30_000
    on: tuple[ErrorClass, ...] = ("transient", "timeout", "rate_limited")


class RunStarted(Event, frozen=True, kw_only=True, tag="run.started.v1", omit_defaults=True):
    """Everything that stays fixed for the run's whole life; `input` is redacted, `limits` may be raised later.

    `data_subject` names the person or business that the run is about, by a hash that only the tenant's key can make:
    its content is sealed under a key of theirs. Empty: under the tenant's.
    """

    run_id: RunId
    workflow_id: WorkflowId
    workflow_name: str
    workflow_version: int
    workflow_hash: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    environment_kind: Literal["live", "test"]
    agent_principal_id: PrincipalId
    started_by: PrincipalId
    planner: str
    policy_version: str
    input: Any
    limits: RunLimits
    started_at: Instant
    deadline_at: Instant
    labels: dict[str, str]
    data_subject: str = ""


class RunForked(Event, frozen=True, kw_only=True, tag="run.forked.v1", omit_defaults=True):
    """A child begins with what its parent knew at `parent_version`. The parent is not touched.

    `inherited` are the parent's first events, so that a child can be read and exported alone. `edits` are arguments
    that a person has given to steps, by path, instead of what the document gives them.
    """

    run_id: RunId
    parent_run_id: RunId
    parent_version: int
    inherited: tuple["RunEvent", ...]
    forked_by: PrincipalId
    reason: str
    started_at: Instant
    deadline_at: Instant
    edits: dict[str, Any] = field(default_factory=dict)


class ChoiceMade(Event, frozen=True, kw_only=True, tag="run.choice_made.v1"):
    """A condition or a list was evaluated once; the planner reads it back from here ever after."""

    step: str
    choice: Any


class ToolCallRequested(Event, frozen=True, kw_only=True, tag="tool_call.requested.v1", omit_defaults=True):
    """The planner wants this call; `schema_hash` is of the tool's input and output schema at this moment.

    `verify`: once it is done, the counterpart is read back before the run goes on; `on_mismatch` is what then follows.
    `compensate`: it is undone when the run ends without having completed.
    `on_outage`: what becomes of the call while its counterpart is known not to answer. `connection` is the name of the
    account that it uses; empty: the only one of its connector, or none.
    """

    call_id: CallId
    step: str
    tool: str
    tool_version: str
    schema_hash: str
    effect: Effect
    idempotency: Idempotency
    arguments: Any
    timeout_s: float
    retry: CallRetry = CallRetry()
    verify: bool = False
    on_mismatch: OnMismatch = "ask"
    compensate: bool = False
    on_outage: OnOutage = "wait"
    connection: str = ""


class ToolCallJudged(Event, frozen=True, kw_only=True, tag="tool_call.judged.v1", omit_defaults=True):
    """What policy says of the call; `rule_id` is a rule of the document, or `default.…` where none speaks.

    A rule of a tenant's, workspace's or workflow's policy stands after its layer, as in `tenant:no-deletes`. The call
    may be made on the terms of `obligations`. `risk` are the points of the rules that apply, `trial` is what a
    policy that is only tried would have said.
    """

    call_id: CallId
    verdict: Verdict
    rule_id: str
    policy_version: str
    reason: str = ""
    obligations: Obligations = NO_OBLIGATIONS
    risk: int = 0
    places: dict[str, str] = field(default_factory=dict)
    trial: Trial | None = None


class ToolCallUncounted(Event, frozen=True, kw_only=True, tag="tool_call.uncounted.v1"):
    """The call will not be made, so it gives back the places in tallies that it was given."""

    call_id: CallId
    tallies: tuple[str, ...]


class ToolCallDispatched(Event, frozen=True, kw_only=True, tag="tool_call.dispatched.v1"):
    """The call may be made: an order for this attempt goes to the workers. The first attempt is 1."""

    call_id: CallId
    attempt: int


class ToolCallHeld(Event, frozen=True, kw_only=True, tag="tool_call.held.v1"):
    """The call waits before it is made, and uses up no attempt: for room in a limit, for its counterpart to answer, or
    for a switch.

    `subject` names the limit, the connector or the switch. It is looked at again at `until`, and may then have to wait
    on, which is not recorded again. `untouched`: nobody can have begun this attempt; from here on a write is marked
    before it is.
    """

    call_id: CallId
    attempt: int
    held_for: HeldFor
    subject: str
    until: Instant
    untouched: bool


class ToolCallStarted(Event, frozen=True, kw_only=True, tag="tool_call.started.v1"):
    """Recorded before the effect of a tool that cannot repeat itself harmlessly, so that a lost answer is noticed."""

    call_id: CallId
    attempt: int
    worker: str


class FromCache(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nobody was asked: the same read gave this `age_ms` before, at `at`, and took so long and cost so much."""

    at: Instant
    age_ms: int
    saved_us: int = 0
    saved_usd_micros: int = 0


class ToolCallCompleted(Event, frozen=True, kw_only=True, tag="tool_call.completed.v1", omit_defaults=True):
    """`output` is redacted; `output_sha256` is over the canonical JSON of what is recorded here.

    `verifying`: the run goes on once it is known what the counterpart shows. `replayed`: the call had failed for good
    before, so the run has gone on without it. `cached`: no call was made, this is what the last such read gave.
    `settled` by `preview`: nothing was done, `output` shows what would be.
    """

    call_id: CallId
    attempt: int
    output: Any
    output_sha256: str
    latency_us: int
    worker: str
    settled: SettledHow = "call"
    verifying: bool = False
    replayed: bool = False
    cached: FromCache | None = None


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation of RFC 6902. A value too large to be shown stands as its size and SHA-256."""

    op: Literal["add", "remove", "replace"]
    path: str
    value: Any = None


class ToolCallVerified(Event, frozen=True, kw_only=True, tag="tool_call.verified.v1", omit_defaults=True):
    """The counterpart was read back after a write. `difference` leads from what the tool said to what is there.

    `drifted`: something else is there, or nothing. `unverifiable`: it could not be read; `reason` says why, and the run
    goes on with what the tool said.
    """

    call_id: CallId
    verdict: ReadBackVerdict
    latency_us: int
    worker: str
    difference: tuple[Change, ...] = ()
    reason: str = ""


class IncidentReported(Event, frozen=True, kw_only=True, tag="run.incident_reported.v1"):
    """Something that nobody asked for has happened and somebody should look into, whatever the run does about it."""

    kind: IncidentKind
    call_id: CallId
    step: str
    message: str


class ToolCallFailed(Event, frozen=True, kw_only=True, tag="tool_call.failed.v1", omit_defaults=True):
    """One attempt failed. `retry_at` says when the next begins; without it the call is over.

    `unclear`: no answer came, so it may have taken effect all the same.
    """

    call_id: CallId
    attempt: int
    error_class: ErrorClass
    code: str
    message: str
    latency_us: int
    worker: str
    retry_at: Instant | None = None
    unclear: bool = False


class ToolCallConnectionAwaited(
    Event, frozen=True, kw_only=True, tag="tool_call.connection_awaited.v1", omit_defaults=True
):
    """The account that the call needs has to be given anew, or with the scope that is named. Nothing was done, and it
    uses up no attempt: the call goes out again by itself once somebody has given access."""

    call_id: CallId
    attempt: int
    connection_id: str
    code: str
    message: str
    scope: str = ""


class ToolCallOutcomeUnknown(Event, frozen=True, kw_only=True, tag="tool_call.outcome_unknown.v1"):
    """The effect may or may not have happened and nothing can tell but a person. Never repeated silently."""

    call_id: CallId
    attempt: int
    message: str
    question_id: QuestionId


class ToolCallDenied(Event, frozen=True, kw_only=True, tag="tool_call.denied.v1", omit_defaults=True):
    """The call will not be made and the step ends as denied; `by` says who or what refused. `replayed`: it had failed
    for good before, so its step has ended already."""

    call_id: CallId
    by: DeniedBy
    rule_id: str
    reason: str
    replayed: bool = False


class ToolCallEdited(Event, frozen=True, kw_only=True, tag="tool_call.edited.v1"):
    """A person has given other arguments to a call that failed for good. They fit the tool's schema, and `verdict` is
    what policy said of them then; it is asked again when the call is replayed."""

    call_id: CallId
    arguments: Any
    verdict: Verdict
    rule_id: str
    policy_version: str
    reason: str


class ToolCallReplayed(Event, frozen=True, kw_only=True, tag="tool_call.replayed.v1", omit_defaults=True):
    """A call that failed for good is made once more: in this run under `key`, or, where the run has ended, in the run
    that is forked from just before its failure. In this run its step keeps the outcome that the run went on with."""

    call_id: CallId
    reason: str
    key: str = ""
    as_run: RunId | None = None


class ToolCallDiscarded(Event, frozen=True, kw_only=True, tag="tool_call.discarded.v1"):
    """Nobody needs to look at this failed call any more."""

    call_id: CallId
    reason: str


class ToolCallReleased(Event, frozen=True, kw_only=True, tag="tool_call.released.v1", omit_defaults=True):
    """A person skipped the call; it will not be made. `approval_id` is the approval that nobody needs to give now."""

    call_id: CallId
    reason: str
    approval_id: ApprovalId | None = None


class Escalation(Struct, frozen=True, kw_only=True):
    """Whom to ask as well when nobody has answered by then."""

    at: Instant
    roles: tuple[str, ...]


class ToolCallApprovalRequested(
    Event, frozen=True, kw_only=True, tag="tool_call.approval_requested.v1", omit_defaults=True
):
    """People are needed. `digest` binds the approval to tool, arguments, schema and policy version."""

    call_id: CallId
    approval_id: ApprovalId
    digest: str
    count: int
    roles: tuple[str, ...]
    deadline_at: Instant
    escalations: tuple[Escalation, ...] = ()
    on_expiry: OnExpiry = "deny"
    strong_sign_in: bool = False


class ToolCallAmended(Event, frozen=True, kw_only=True, tag="tool_call.amended.v1"):
    """A reviewer has given the call other arguments, which fit the tool's schema. It is judged again with them."""

    call_id: CallId
    approval_id: ApprovalId
    arguments: Any
    amended_by: PrincipalId
    comment: str


class ToolCallApproved(Event, frozen=True, kw_only=True, tag="tool_call.approved.v1"):
    """`fingerprint` is of the state that the approvers saw; the worker compares it with the state it finds."""

    call_id: CallId
    approval_id: ApprovalId
    approved_by: tuple[PrincipalId, ...]
    fingerprint: str


class ToolCallApprovalVoided(Event, frozen=True, kw_only=True, tag="tool_call.approval_voided.v1"):
    """What had been approved is no longer what would happen; people are asked again with the new facts."""

    call_id: CallId
    approval_id: ApprovalId
    reason: str


class PlannedUndo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`not_before`: until then a worker may still be making the call."""

    call_id: CallId
    not_before: Instant | None = None


class CompensationPlanned(Event, frozen=True, kw_only=True, tag="run.compensation_planned.v1"):
    """What a run that has ended without completing undoes: newest first, one after the other, before what waits."""

    calls: tuple[PlannedUndo, ...]


class CompensationDispatched(Event, frozen=True, kw_only=True, tag="tool_call.compensation_dispatched.v1"):
    """The call is to be undone now: an order for this attempt goes to the workers. Its key is `<call_id>-undo`."""

    call_id: CallId
    attempt: int


class ToolCallCompensated(Event, frozen=True, kw_only=True, tag="tool_call.compensated.v1", omit_defaults=True):
    """The effect is gone: undone by the tool, never there, or undone by a person by hand."""

    call_id: CallId
    attempt: int
    how: UndoneHow
    latency_us: int = 0
    worker: str = ""
    reason: str = ""


class CompensationFailed(Event, frozen=True, kw_only=True, tag="tool_call.compensation_failed.v1", omit_defaults=True):
    """One attempt to undo the call failed. `retry_at` says when the next begins; without it a person is asked.

    With a `connection_id` it is also tried again once access to that account is given.
    """

    call_id: CallId
    attempt: int
    error_class: ErrorClass
    code: str
    message: str
    latency_us: int
    worker: str
    retry_at: Instant | None = None
    connection_id: str = ""
    scope: str = ""


class CompensationLeft(Event, frozen=True, kw_only=True, tag="tool_call.compensation_left.v1"):
    """A person leaves the effect as it is."""

    call_id: CallId
    reason: str


class CompensationEnded(Event, frozen=True, kw_only=True, tag="run.compensation_ended.v1"):
    """Nothing is left to undo: so many effects are gone, so many a person has left."""

    undone: int
    left: int


class QuestionAsked(Event, frozen=True, kw_only=True, tag="run.question_asked.v1", omit_defaults=True):
    """A person is needed: for a step, a limit that was reached, a lost outcome, or an effect that cannot be undone."""

    question_id: QuestionId
    purpose: QuestionPurpose
    question: str
    step: str = ""
    schema: Any = None
    roles: tuple[str, ...] = ()
    deadline_at: Instant | None = None


class QuestionAnswered(Event, frozen=True, kw_only=True, tag="run.question_answered.v1"):
    """`answer` fits the question's schema and is redacted; the first answer counts."""

    question_id: QuestionId
    answer: Any
    answered_by: PrincipalId


class QuestionExpired(Event, frozen=True, kw_only=True, tag="run.question_expired.v1"):
    """Nobody answered by the deadline, or a lost outcome was found without a person."""

    question_id: QuestionId


class SignalAwaited(Event, frozen=True, kw_only=True, tag="run.signal_awaited.v1", omit_defaults=True):
    """A step waits; a signal of this name that came early is used up at once."""

    step: str
    name: str
    deadline_at: Instant | None = None


class SignalReceived(Event, frozen=True, kw_only=True, tag="run.signal_received.v1"):
    """`signal_id` is the sender's: the same one again changes nothing. Early signals are kept until awaited."""

    signal_id: str
    name: str
    payload: Any


class SignalTimedOut(Event, frozen=True, kw_only=True, tag="run.signal_timed_out.v1"):
    """The signal did not come by its deadline; the step ends as timed out."""

    step: str


class TimeAwaited(Event, frozen=True, kw_only=True, tag="run.time_awaited.v1"):
    """A step waits for this moment."""

    step: str
    due_at: Instant


class TimeElapsed(Event, frozen=True, kw_only=True, tag="run.time_elapsed.v1"):
    """The moment has come; never recorded before it."""

    step: str


class LimitReached(Event, frozen=True, kw_only=True, tag="run.limit_reached.v1"):
    """The next step would pass a limit and the document says `ask`: the run stands until people answer."""

    limit: LimitName
    used: int
    allowed: int


class LimitRaised(Event, frozen=True, kw_only=True, tag="run.limit_raised.v1"):
    """People gave more room; `allowed` is the new total."""

    limit: LimitName
    allowed: int


class StepRepaired(Event, frozen=True, kw_only=True, tag="run.step_repaired.v1", omit_defaults=True):
    """An operator settled a step by hand, and is the commit's actor; or its approval expired, which policy skips."""

    step: str
    repair: Literal["retried", "skipped", "result_supplied"]
    reason: str
    output: Any = None


class RunPaused(Event, frozen=True, kw_only=True, tag="run.paused.v1", omit_defaults=True):
    """No new call begins and nothing is planned; outcomes, signals and times are still recorded.

    `switch` names the switch that stopped it: the run goes on by itself when that is released. Empty: a person did.
    """

    reason: str
    switch: str = ""


class RunResumed(Event, frozen=True, kw_only=True, tag="run.resumed.v1"):
    """Planning goes on, and orders that were held back are sent."""

    reason: str


class RunCompleted(Event, frozen=True, kw_only=True, tag="run.completed.v1"):
    """`output` fits the output schema of the workflow version."""

    output: Any


class RunFailed(Event, frozen=True, kw_only=True, tag="run.failed.v1", omit_defaults=True):
    """`code` names the failure that nothing in the document caught; `step` is the path to blame, empty for none."""

    code: str
    message: str
    step: str = ""


class RunImpossible(Event, frozen=True, kw_only=True, tag="run.impossible.v1"):
    """The document itself came to the end `impossible`: the task cannot be done, and nothing is broken."""

    reason: str


class RunCancelled(Event, frozen=True, kw_only=True, tag="run.cancelled.v1"):
    """Effects that have happened stay; the outcome of a call in flight is still recorded after this."""

    reason: str


class RunCapped(Event, frozen=True, kw_only=True, tag="run.capped.v1"):
    """A limit ended the run. The public reason code is `limit_<name>`."""

    limit: LimitName
    used: int
    allowed: int


class RunExpired(Event, frozen=True, kw_only=True, tag="run.expired.v1"):
    """The run was found past its deadline, by its alarm or by the next decision."""

    deadline_at: Instant


class RunContentExpired(Event, frozen=True, kw_only=True, tag="run.content_expired.v1"):
    """The run was kept for as long as its tenant says. What is before this, and its approvals, is removed: `commits`
    with `events`. `last_leaf` is what the ledger has of the last of them, at `last_sequence`."""

    expiry_id: str
    run_id: RunId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: WorkflowId
    ended_at: Instant
    commits: int
    events: int
    last_sequence: int
    last_leaf: str


RunEvent = (
    RunStarted
    | RunForked
    | ChoiceMade
    | ToolCallRequested
    | ToolCallJudged
    | ToolCallUncounted
    | ToolCallDispatched
    | ToolCallHeld
    | ToolCallStarted
    | ToolCallCompleted
    | ToolCallVerified
    | ToolCallFailed
    | ToolCallConnectionAwaited
    | ToolCallOutcomeUnknown
    | ToolCallDenied
    | ToolCallEdited
    | ToolCallReplayed
    | ToolCallDiscarded
    | ToolCallReleased
    | ToolCallApprovalRequested
    | ToolCallAmended
    | ToolCallApproved
    | ToolCallApprovalVoided
    | CompensationPlanned
    | CompensationDispatched
    | ToolCallCompensated
    | CompensationFailed
    | CompensationLeft
    | CompensationEnded
    | QuestionAsked
    | QuestionAnswered
    | QuestionExpired
    | SignalAwaited
    | SignalReceived
    | SignalTimedOut
    | TimeAwaited
    | TimeElapsed
    | LimitReached
    | LimitRaised
    | StepRepaired
    | IncidentReported
    | RunPaused
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunImpossible
    | RunCancelled
    | RunCapped
    | RunExpired
    | RunContentExpired
)
RunEnding = RunCompleted | RunFailed | RunImpossible | RunCancelled | RunCapped | RunExpired
