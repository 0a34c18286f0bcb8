"""What can be asked of a run. Every command says when it was given; a decision never reads a clock."""

from typing import Any, Literal

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.ids import ApprovalId, CallId, ModelCallId, QuestionId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.models.answer import ModelAnswer
from fairlead.domain.money import UsdMicros
from fairlead.domain.runs.events import (
    CachedHow,
    DeniedBy,
    Door,
    ErrorClass,
    FromCache,
    GuardrailFound,
    HeldFor,
    ModelCallRefused,
    ModelCallRequested,
    ModelCallRouted,
    ModelErrorClass,
    ModelHeldFor,
    ModelRefusedBy,
    OnExpiry,
    RunContentExpired,
    RunEvent,
    RunStarted,
    SettledHow,
)


class StartRun(Struct, frozen=True, kw_only=True):
    started: RunStarted
    now: Instant


class ForkRun(Struct, frozen=True, kw_only=True):
    """`inherited` are the parent's first events, up to and including `parent_version`. `edits` are by step."""

    run_id: RunId
    parent_run_id: RunId
    parent_version: int
    inherited: tuple[RunEvent, ...]
    forked_by: PrincipalId
    reason: str
    deadline_at: Instant
    now: Instant
    edits: dict[str, Any] = {}


class CallSucceeded(Struct, frozen=True, kw_only=True):
    output: Any
    settled: SettledHow = "call"
    cached: FromCache | None = None


class CallErred(Struct, frozen=True, kw_only=True):
    """`unclear`: no answer came, so it may have taken effect all the same. `connection_id`: what failed is the access
    to that account, and nothing was done; `scope` is what was not granted."""

    error_class: ErrorClass
    code: str
    message: str
    retry_after_s: float | None = None
    unclear: bool = False
    connection_id: str = ""
    scope: str = ""


class RecordOutcome(Struct, frozen=True, kw_only=True):
    """What a worker saw. A second report of the same attempt changes nothing. `fee_usd_micros` is due for it."""

    call_id: CallId
    attempt: int
    outcome: CallSucceeded | CallErred
    latency_us: int
    worker: str
    now: Instant
    fee_usd_micros: int = 0


class ReadBack(Struct, frozen=True, kw_only=True):
    """What is there after a write; None: the effect is not there."""

    found: Any


class CannotTell(Struct, frozen=True, kw_only=True):
    """The counterpart could not be read back."""

    reason: str


class RecordVerdict(Struct, frozen=True, kw_only=True):
    """What a worker found when it read a completed call back. A second report of it changes nothing."""

    call_id: CallId
    seen: ReadBack | CannotTell
    latency_us: int
    worker: str
    now: Instant


class Undone(Struct, frozen=True, kw_only=True):
    how: Literal["call", "nothing_to_undo"]


class RecordUndo(Struct, frozen=True, kw_only=True):
    """What came of an attempt to undo a call. A second report of the same attempt changes nothing."""

    call_id: CallId
    attempt: int
    outcome: Undone | CallErred
    latency_us: int
    worker: str
    now: Instant


class ConnectionRestored(Struct, frozen=True, kw_only=True):
    """Somebody gave access to the account; `granted` are the scopes that it has now, None for whatever it had."""

    connection_id: str
    granted: tuple[str, ...] | None
    now: Instant


class MarkStarted(Struct, frozen=True, kw_only=True):
    call_id: CallId
    attempt: int
    worker: str
    now: Instant


class HoldCall(Struct, frozen=True, kw_only=True):
    """The call has to wait. Said again for the same attempt, it changes nothing."""

    call_id: CallId
    attempt: int
    held_for: HeldFor
    subject: str
    until: Instant
    untouched: bool
    now: Instant


class DenyCall(Struct, frozen=True, kw_only=True):
    """A check at the moment of effect said no (D6): permission withdrawn, policy or limit."""

    call_id: CallId
    by: DeniedBy
    rule_id: str
    reason: str
    now: Instant


class BeginModelCall(Struct, frozen=True, kw_only=True):
    """A call that came through a door, and the first attempt that it is to make, or why it makes none. At a limit there
    is neither."""

    requested: ModelCallRequested
    routed: ModelCallRouted | ModelCallRefused
    now: Instant
    found: tuple[GuardrailFound, ...] = ()


class RouteModelCall(Struct, frozen=True, kw_only=True):
    """The next attempt goes out now. `lost`: the one before was begun and nobody knows what became of it."""

    routed: ModelCallRouted
    now: Instant
    lost: bool = False
    found: tuple[GuardrailFound, ...] = ()


class HoldModelCall(Struct, frozen=True, kw_only=True):
    """The call has to wait. Said again before the next attempt, it changes nothing."""

    call_id: ModelCallId
    held_for: ModelHeldFor
    subject: str
    until: Instant
    now: Instant


class RecordModelAnswer(Struct, frozen=True, kw_only=True):
    """What a model answered to an attempt, and what that has cost. A second report changes nothing."""

    call_id: ModelCallId
    attempt: int
    answer: ModelAnswer
    cost_usd_micros: UsdMicros
    latency_us: int
    worker: str
    now: Instant
    first_token_us: int = 0
    streamed: bool = False
    cached: CachedHow = ""
    saved_usd_micros: UsdMicros = UsdMicros(0)
    found: tuple[GuardrailFound, ...] = ()


Then = Literal["again", "elsewhere", "nothing"]


class RecordModelFailure(Struct, frozen=True, kw_only=True):
    """An attempt gave no answer. `then` is what follows, as far as attempts are left: the same candidate after a pause,
    another at once, or nothing. A second report changes nothing."""

    call_id: ModelCallId
    attempt: int
    error_class: ModelErrorClass
    code: str
    message: str
    latency_us: int
    worker: str
    now: Instant
    then: Then
    charged_usd_micros: UsdMicros = UsdMicros(0)
    charged_tokens: int = 0
    retry_after_s: float | None = None


class RefuseModelCall(Struct, frozen=True, kw_only=True):
    """The next attempt is not made, nor any other."""

    call_id: ModelCallId
    by: ModelRefusedBy
    code: str
    reason: str
    now: Instant
    found: tuple[GuardrailFound, ...] = ()


class RecordApproval(Struct, frozen=True, kw_only=True):
    call_id: CallId
    approval_id: ApprovalId
    digest: str
    fingerprint: str
    approved_by: tuple[PrincipalId, ...]
    now: Instant


class AmendCall(Struct, frozen=True, kw_only=True):
    """Other arguments, that a reviewer has given it instead of a signature."""

    call_id: CallId
    approval_id: ApprovalId
    arguments: Any
    amended_by: PrincipalId
    comment: str
    now: Instant


class RecordRefusal(Struct, frozen=True, kw_only=True):
    """People said no, or want it otherwise, or nobody answered in time; `then` is what follows from that."""

    call_id: CallId
    approval_id: ApprovalId
    reason: str
    now: Instant
    by: Literal["approval", "changes"] = "approval"
    then: OnExpiry = "deny"


class VoidApproval(Struct, frozen=True, kw_only=True):
    """What was approved, or allowed without, is not what would be done now: judge the call again."""

    call_id: CallId
    reason: str
    now: Instant


class AnswerQuestion(Struct, frozen=True, kw_only=True):
    question_id: QuestionId
    answer: Any
    principal_id: PrincipalId
    role_names: tuple[str, ...]
    now: Instant


class SendSignal(Struct, frozen=True, kw_only=True):
    signal_id: str
    name: str
    payload: Any
    now: Instant


class Alarm(Struct, frozen=True, kw_only=True):
    """Something is due. `key` is the call, question or step it concerns; a stale alarm changes nothing."""

    kind: Literal["retry", "question", "signal", "time", "deadline", "undo", "model"]
    key: str
    due_at: Instant


class ExpireRun(Struct, frozen=True, kw_only=True):
    """Its content is to be removed."""

    expired: RunContentExpired
    now: Instant


class FireAlarm(Struct, frozen=True, kw_only=True):
    alarm: Alarm
    now: Instant


class PauseRun(Struct, frozen=True, kw_only=True):
    reason: str
    now: Instant


class ResumeRun(Struct, frozen=True, kw_only=True):
    reason: str
    now: Instant


class SuspendRun(Struct, frozen=True, kw_only=True):
    """A switch stops it, just when the call in `hold` was to be made."""

    switch: str
    reason: str
    now: Instant
    hold: HoldCall | None = None


class ReleaseRun(Struct, frozen=True, kw_only=True):
    """No switch stops it any more. A run that a person has paused stays so."""

    now: Instant


class CancelRun(Struct, frozen=True, kw_only=True):
    reason: str
    now: Instant


class RepairStep(Struct, frozen=True, kw_only=True):
    step: str
    repair: Literal["retried", "skipped", "result_supplied"]
    reason: str
    now: Instant
    output: Any = None


class AskCall(Struct, frozen=True, kw_only=True):
    """An outside agent wants a call. `ask_id` is its own: the same again changes nothing."""

    ask_id: str
    tool: str
    arguments: dict[str, Any]
    door: Door
    principal_id: PrincipalId
    now: Instant


class WithdrawCall(Struct, frozen=True, kw_only=True):
    """An outside agent no longer wants a call that it asked for."""

    call_id: CallId
    reason: str
    principal_id: PrincipalId
    now: Instant


class FinishRun(Struct, frozen=True, kw_only=True):
    """An outside agent has done what the workflow is for."""

    output: Any
    principal_id: PrincipalId
    now: Instant


class GiveUpRun(Struct, frozen=True, kw_only=True):
    """An outside agent says that it cannot be done, and nothing is broken."""

    reason: str
    principal_id: PrincipalId
    now: Instant


class FailRun(Struct, frozen=True, kw_only=True):
    """An outside agent could not go on."""

    code: str
    message: str
    principal_id: PrincipalId
    now: Instant


class EditLetter(Struct, frozen=True, kw_only=True):
    """Other arguments for a call that failed for good."""

    call_id: CallId
    arguments: Any
    reason: str
    now: Instant


class ReplayLetter(Struct, frozen=True, kw_only=True):
    """`key` None: the same, unless the arguments were edited. `as_run` is the fork's id, for a run that has ended."""

    call_id: CallId
    reason: str
    now: Instant
    key: Literal["same", "new"] | None = None
    as_run: RunId | None = None


class DiscardLetter(Struct, frozen=True, kw_only=True):
    call_id: CallId
    reason: str
    now: Instant


class CutShort(Struct, frozen=True, kw_only=True):
    """Record what the command says and fail the run there, for what would follow does not fit into one commit."""

    command: "RunCommand"
    now: Instant


FromAgent = AskCall | WithdrawCall | FinishRun | GiveUpRun | FailRun
Moving = MarkStarted | HoldCall | DenyCall | RecordApproval | RecordRefusal | AmendCall | VoidApproval
Thinking = BeginModelCall | RouteModelCall | HoldModelCall | RecordModelAnswer | RecordModelFailure | RefuseModelCall
Steering = PauseRun | ResumeRun | SuspendRun | ReleaseRun | CancelRun
Plain = (
    StartRun
    | ForkRun
    | RecordOutcome
    | RecordVerdict
    | RecordUndo
    | ConnectionRestored
    | MarkStarted
    | HoldCall
    | DenyCall
    | RecordApproval
    | RecordRefusal
    | AmendCall
    | VoidApproval
    | AnswerQuestion
    | SendSignal
    | FireAlarm
    | ExpireRun
    | PauseRun
    | ResumeRun
    | SuspendRun
    | ReleaseRun
    | CancelRun
    | RepairStep
    | AskCall
    | WithdrawCall
    | FinishRun
    | GiveUpRun
    | FailRun
    | EditLetter
    | ReplayLetter
    | DiscardLetter
    | CutShort
)
RunCommand = Plain | Thinking
