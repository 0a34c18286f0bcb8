"""Facts of a call on its way to its outcome."""

from typing import Any, Literal

from fairlead_sdk.contract import Effect, Idempotency
from msgspec import Struct, field

from fairlead.domain.envelope import Event
from fairlead.domain.ids import CallId, QuestionId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import NO_OBLIGATIONS, Obligations
from fairlead.domain.policy.trial import Trial
from fairlead.domain.runs.events.terms import ErrorClass, Verdict

DeniedBy = Literal["policy", "approval", "changes", "permission", "limit", "switch", "budget"]
SettledHow = Literal["call", "read_back", "person", "preview"]
OnOutage = Literal["wait", "fail", "cached", "read_only"]
HeldFor = Literal["rate", "concurrency", "outage", "switch", "budget"]
OnMismatch = Literal["ask", "compensate", "continue"]
ReadBackVerdict = Literal["matched", "drifted", "unverifiable"]


class CallRetry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which failures of a call are tried again, how often and how far apart (full jitter, doubling)."""

    attempts: int = 3
    initial_ms: int = 500
    max_ms: int = 30_000
    on: tuple[ErrorClass, ...] = ("transient", "timeout", "rate_limited")


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
    `settled` by `preview`: nothing was done, `output` shows what would be. `cost_usd_micros` is the tool's fee.
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
    cost_usd_micros: int = 0


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


class ToolCallFailed(Event, frozen=True, kw_only=True, tag="tool_call.failed.v1", omit_defaults=True):
    """One attempt failed. `retry_at` says when the next begins; without it the call is over.

    `unclear`: no answer came, so it may have taken effect all the same, and `charged_usd_micros` counts as spent.
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
    charged_usd_micros: int = 0


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


class ToolCallOutcomeUnknown(Event, frozen=True, kw_only=True, tag="tool_call.outcome_unknown.v1", omit_defaults=True):
    """The effect may or may not have happened and nothing can tell but a person. Never repeated silently.

    `charged_usd_micros` counts as spent, whatever they say.
    """

    call_id: CallId
    attempt: int
    message: str
    question_id: QuestionId
    charged_usd_micros: int = 0


class ToolCallDenied(Event, frozen=True, kw_only=True, tag="tool_call.denied.v1", omit_defaults=True):
    """The call will not be made and the step ends as denied; `by` says who or what refused. `replayed`: it had failed
    for good before, so its step has ended already."""

    call_id: CallId
    by: DeniedBy
    rule_id: str
    reason: str
    replayed: bool = False
