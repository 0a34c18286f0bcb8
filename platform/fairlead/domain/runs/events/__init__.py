"""Facts of a run. Tags are permanent; a new shape is a new tag and an upcaster.

A call passes requested → judged → dispatched → completed, some then → verified, and leaves that path by denied,
approval_requested, failed, outcome_unknown or released. `step` is the planner's path of the step
(see planning/seam.py). What forked is here, beside the union of all facts, because a fork holds facts of any kind.
"""

from typing import Any

from fairlead_tenants.ids import PrincipalId
from msgspec import field

from fairlead.domain.envelope import Event
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events.approvals import (
    Escalation,
    ToolCallAmended,
    ToolCallApprovalRequested,
    ToolCallApprovalVoided,
    ToolCallApproved,
)
from fairlead.domain.runs.events.calls import (
    CallRetry,
    Change,
    DeniedBy,
    FromCache,
    HeldFor,
    OnMismatch,
    OnOutage,
    ReadBackVerdict,
    SettledHow,
    ToolCallCompleted,
    ToolCallConnectionAwaited,
    ToolCallDenied,
    ToolCallDispatched,
    ToolCallFailed,
    ToolCallHeld,
    ToolCallJudged,
    ToolCallOutcomeUnknown,
    ToolCallRequested,
    ToolCallStarted,
    ToolCallUncounted,
    ToolCallVerified,
)
from fairlead.domain.runs.events.course import (
    ChoiceMade,
    IncidentKind,
    IncidentReported,
    LimitName,
    LimitRaised,
    LimitReached,
    RunCancelled,
    RunCapped,
    RunCompleted,
    RunContentExpired,
    RunExpired,
    RunFailed,
    RunImpossible,
    RunLimits,
    RunPaused,
    RunResumed,
    RunStarted,
    StepRepaired,
)
from fairlead.domain.runs.events.letters import ToolCallDiscarded, ToolCallEdited, ToolCallReleased, ToolCallReplayed
from fairlead.domain.runs.events.outside import Door, ToolCallAsked, ToolCallAskRefused
from fairlead.domain.runs.events.terms import ErrorClass, Verdict
from fairlead.domain.runs.events.thinking import (
    AskedThrough,
    CachedHow,
    GuardrailFound,
    ModelCallAttemptFailed,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallHeld,
    ModelCallRefused,
    ModelCallReleased,
    ModelCallRequested,
    ModelCallResumed,
    ModelCallRouted,
    ModelErrorClass,
    ModelHeldFor,
    ModelRefusedBy,
    PassedOver,
    Purpose,
    Reason,
    TokensUsed,
)
from fairlead.domain.runs.events.undoing import (
    CompensationDispatched,
    CompensationEnded,
    CompensationFailed,
    CompensationLeft,
    CompensationPlanned,
    PlannedUndo,
    ToolCallCompensated,
    UndoneHow,
)
from fairlead.domain.runs.events.waiting import (
    OnExpiry,
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    QuestionPurpose,
    SignalAwaited,
    SignalReceived,
    SignalTimedOut,
    TimeAwaited,
    TimeElapsed,
)

__all__ = [
    "AskedThrough",
    "CachedHow",
    "CallRetry",
    "Change",
    "ChoiceMade",
    "CompensationDispatched",
    "CompensationEnded",
    "CompensationFailed",
    "CompensationLeft",
    "CompensationPlanned",
    "DeniedBy",
    "Door",
    "ErrorClass",
    "Escalation",
    "FromCache",
    "GuardrailFound",
    "HeldFor",
    "IncidentKind",
    "IncidentReported",
    "LimitName",
    "LimitRaised",
    "LimitReached",
    "ModelCallAttemptFailed",
    "ModelCallCompleted",
    "ModelCallFailed",
    "ModelCallHeld",
    "ModelCallRefused",
    "ModelCallReleased",
    "ModelCallRequested",
    "ModelCallResumed",
    "ModelCallRouted",
    "ModelErrorClass",
    "ModelHeldFor",
    "ModelRefusedBy",
    "OnExpiry",
    "OnMismatch",
    "OnOutage",
    "PassedOver",
    "PlannedUndo",
    "Purpose",
    "QuestionAnswered",
    "QuestionAsked",
    "QuestionExpired",
    "QuestionPurpose",
    "ReadBackVerdict",
    "Reason",
    "RunCancelled",
    "RunCapped",
    "RunCompleted",
    "RunContentExpired",
    "RunEnding",
    "RunEvent",
    "RunExpired",
    "RunFailed",
    "RunForked",
    "RunImpossible",
    "RunLimits",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "SettledHow",
    "SignalAwaited",
    "SignalReceived",
    "SignalTimedOut",
    "StepRepaired",
    "TimeAwaited",
    "TimeElapsed",
    "TokensUsed",
    "ToolCallAmended",
    "ToolCallApprovalRequested",
    "ToolCallApprovalVoided",
    "ToolCallApproved",
    "ToolCallAskRefused",
    "ToolCallAsked",
    "ToolCallCompensated",
    "ToolCallCompleted",
    "ToolCallConnectionAwaited",
    "ToolCallDenied",
    "ToolCallDiscarded",
    "ToolCallDispatched",
    "ToolCallEdited",
    "ToolCallFailed",
    "ToolCallHeld",
    "ToolCallJudged",
    "ToolCallOutcomeUnknown",
    "ToolCallReleased",
    "ToolCallReplayed",
    "ToolCallRequested",
    "ToolCallStarted",
    "ToolCallUncounted",
    "ToolCallVerified",
    "UndoneHow",
    "Verdict",
]


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


RunEvent = (
    RunStarted
    | RunForked
    | ChoiceMade
    | ToolCallAsked
    | ToolCallAskRefused
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
    | ModelCallRequested
    | ModelCallRouted
    | ModelCallHeld
    | ModelCallCompleted
    | ModelCallAttemptFailed
    | ModelCallResumed
    | ModelCallFailed
    | ModelCallRefused
    | ModelCallReleased
    | GuardrailFound
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
