"""What is remembered of a run."""

from typing import Any, Literal

from fairlead_sdk.contract import Idempotency
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.ids import CallId, ModelCallId, QuestionId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.planning.seam import Asked, StepOutcome
from fairlead.domain.policy.document import NO_OBLIGATIONS, Obligations
from fairlead.domain.runs import events as e
from fairlead.domain.runs import undoing as u

Phase = Literal[
    "requested",
    "judged",
    "awaiting_approval",
    "dispatched",
    "started",
    "backing_off",
    "unknown",
    "verifying",
    "drifted",
    "awaiting_connection",
]


LetterPhase = Literal["open", "replaying", "done", "replayed_as_run", "discarded"]


Outcome = Literal["completed", "failed", "impossible", "cancelled", "capped", "expired"]


class Replay(Struct, frozen=True, kw_only=True):
    """The call is made once more, `after` so many attempts, and its step does not wait for it."""

    key: str
    after: int


class OpenCall(Struct, frozen=True, kw_only=True):
    """A call whose step has no outcome yet. `calls_by_tool` is as it was when the call was requested, with this one, so
    that judging it again later finds the same facts. `output` is what it gave, until it has been read back.
    `unclear`: an attempt had no answer, so it may have taken effect. `reconnects` counts the attempts that found no
    access to the account."""

    request: e.ToolCallRequested
    calls_by_tool: dict[str, int]
    phase: Phase = "requested"
    attempt: int = 0
    policy_version: str = ""
    rule_id: str = ""
    reason: str = ""
    approval: e.ToolCallApprovalRequested | None = None
    approved_by: tuple[PrincipalId, ...] = ()
    fingerprint: str = ""
    retry_at: Instant | None = None
    output: Any = None
    unclear: bool = False
    missing: e.ToolCallConnectionAwaited | None = None
    reconnects: int = 0
    held: e.ToolCallHeld | None = None
    replay: Replay | None = None
    obligations: Obligations = NO_OBLIGATIONS
    amended_by: tuple[PrincipalId, ...] = ()
    places: dict[str, str] = {}

    @property
    def undoable(self) -> bool:
        """Whether it can have an effect that the run would undo."""
        return self.request.compensate and not self.obligations.dry_run

    @property
    def key(self) -> str:
        """What the counterpart knows the call by."""
        return self.replay.key if self.replay is not None else self.request.call_id

    @property
    def tried(self) -> int:
        """Attempts that count, this one included."""
        return self.attempt - self.reconnects - (self.replay.after if self.replay is not None else 0)


class OpenModelCall(Struct, frozen=True, kw_only=True):
    """A model call without an outcome yet. `routed` is the attempt that is under way, `failed` are those before it."""

    request: e.ModelCallRequested
    phase: Literal["requested", "routed", "backing_off"] = "requested"
    attempt: int = 0
    routed: e.ModelCallRouted | None = None
    failed: tuple[e.ModelCallAttemptFailed, ...] = ()
    retry_at: Instant | None = None
    held: e.ModelCallHeld | None = None

    @property
    def tries(self) -> int:
        """Attempts that count, the one under way included."""
        unsent = sum(each.error_class == "budget" for each in self.failed)
        return len(self.failed) - unsent + (self.routed is not None)

    @property
    def reserved_usd_micros(self) -> int:
        return self.routed.reserved_usd_micros if self.routed is not None else 0


class Letter(Struct, frozen=True, kw_only=True):
    """A call that failed for good. `arguments` are what it would be made with now."""

    call: OpenCall
    arguments: Any
    code: str
    phase: LetterPhase = "open"
    edited: bool = False
    replays: int = 0
    as_run: RunId | None = None


class Ask(Struct, frozen=True):
    """A call that an outside agent asked for, and the step that it is."""

    call_id: CallId
    step: str
    tool: str
    asked_by: PrincipalId


class NotStarted(Struct, frozen=True):
    pass


class Active(Struct, frozen=True, kw_only=True):
    """A run under way. `open` maps each step in flight to what it waits for (a call, a question, itself). `effects` are
    what it would undo if it ended now, oldest first; `letters` the calls that failed for good; `edits` the arguments
    that a person has given to steps that are still to come. `asked` are all calls that an outside agent asked for, by
    its own id of each; `asks` those that have no outcome yet, and `refused_by` the rules that denied some, by step."""

    run_id: RunId
    start: e.RunStarted
    limits: e.RunLimits
    deadline_at: Instant
    parent: e.RunForked | None = None
    outcomes: dict[str, StepOutcome] = {}
    choices: dict[str, Any] = {}
    open: dict[str, str] = {}
    calls: dict[CallId, OpenCall] = {}
    questions: dict[QuestionId, e.QuestionAsked] = {}
    signals_awaited: dict[str, e.SignalAwaited] = {}
    times_awaited: dict[str, e.TimeAwaited] = {}
    early_signals: tuple[e.SignalReceived, ...] = ()
    signal_ids: frozenset[str] = frozenset()
    model_calls: dict[ModelCallId, OpenModelCall] = {}
    calls_by_tool: dict[str, int] = {}
    made: dict[str, int] = {}  # by tool, calls that went out
    tool_calls_used: int = 0
    model_calls_used: int = 0
    tokens_used: int = 0
    cost_usd_micros: int = 0  # of model calls
    steps_used: int = 0
    retries_used: int = 0  # attempts of calls of tools after the first
    numbered: int = 0  # child ids given out
    paused: str | None = None
    paused_by: str = ""  # the switch, where one did
    resumed: int = 0  # how often
    limit_reached: e.LimitReached | None = None
    effects: tuple[u.Effected, ...] = ()
    letters: dict[CallId, Letter] = {}
    edits: dict[str, Any] = {}
    asked: dict[str, Ask] = {}
    asks: dict[str, Asked] = {}
    refused_by: dict[str, str] = {}


class Ended(Struct, frozen=True, kw_only=True):
    """Terminal. `last` keeps what was in flight, whose outcome is still recorded when it comes. What is undone
    afterwards is in `undoing`; the outcome stays what it is."""

    outcome: Outcome
    ending: e.RunEnding
    last: Active
    undoing: u.Undoing = u.Undoing()


class Gone(Struct, frozen=True, kw_only=True):
    """Terminal. Its content is removed, or is about to be; the id stays taken."""

    expired: e.RunContentExpired


RunState = NotStarted | Active | Ended | Gone


def is_over(state: RunState) -> bool:
    """Nothing more happens to it by itself."""
    return isinstance(state, Gone) or (isinstance(state, Ended) and not state.undoing.is_open)


def initial() -> RunState:
    return NotStarted()


def effects_of(run: Active) -> dict[CallId, u.Effected]:
    """What the run did and may have done that can be undone, oldest first."""
    known = {effect.request.call_id: effect for effect in run.effects}
    doubtful = {
        call_id: u.Effected(request=call.request, doubtful=True, key=call.key)
        for call_id, call in run.calls.items()
        if call.undoable and call_id not in known and _may_have_happened(call)
    }
    return known | doubtful


def _may_have_happened(call: OpenCall) -> bool:
    """A call that cannot be repeated is marked before it is begun; any other may have been begun unseen."""
    unseen = call.phase == "dispatched" and call.request.idempotency is not Idempotency.NONE
    return unseen or call.unclear or call.phase in ("started", "unknown")


def requesters(run: Active) -> tuple[PrincipalId, ...]:
    """Whoever asked for what this run does: none of them may approve it."""
    asked, fork = [run.start.started_by, run.start.agent_principal_id], run.parent
    while isinstance(fork, e.RunForked):
        asked.append(fork.forked_by)
        fork = fork.inherited[0] if isinstance(fork.inherited[0], e.RunForked) else None
    return tuple(dict.fromkeys(asked))


def request_counts(call: OpenCall) -> bool:
    """Whether the call is among those that the run has made. What is only shown is not, nor what was only replayed."""
    return not call.obligations.dry_run and call.replay is None
