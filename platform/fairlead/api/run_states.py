"""A run as it was at any of its events: the log folded up to there."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fairlead_tenants.ids import PrincipalId
from msgspec import Meta, Struct

from fairlead.api.run_views import Awaited, awaited_after, awaited_of
from fairlead.domain.envelope import position
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import ApprovalId, CallId, ModelCallId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.planning.seam import StepOutcome
from fairlead.domain.runs.events import Purpose, RunLimits
from fairlead.domain.runs.folding import evolve
from fairlead.domain.runs.obligations import Awaiting, awaiting
from fairlead.domain.runs.states import Active, Ended, NotStarted, OpenCall, OpenModelCall, Phase, RunState
from fairlead.domain.runs.status import RunStatus, said_of, status_of
from fairlead.domain.runs.undoing import CompensationStatus, Undo, Undoing, UndoPhase
from fairlead.ports import AnyRecorded


class CallInHand(Struct, frozen=True, kw_only=True):
    """A call without an outcome yet."""

    call_id: CallId
    step: str
    tool: str
    arguments: Any
    phase: Phase
    attempt: int
    policy_version: str
    rule_id: str
    reason: str
    approval_id: ApprovalId | None
    approved_by: tuple[PrincipalId, ...]
    retry_at: Instant | None


class ModelCallInHand(Struct, frozen=True, kw_only=True):
    """A model call without an outcome yet. `provider` and `model` are of the attempt that is under way."""

    call_id: ModelCallId
    step: str
    purpose: Purpose
    route: str
    phase: Literal["requested", "routed", "backing_off"]
    attempt: int
    provider: str
    model: str
    held_for: str
    retry_at: Instant | None


class Used(Struct, frozen=True, kw_only=True):
    tool_calls: int
    steps: int
    model_calls: int
    tokens: int
    cost_usd_micros: int


class EarlySignal(Struct, frozen=True, kw_only=True):
    """Received before any step awaited it; kept for the first that does."""

    signal_id: str
    name: str
    payload: Any


class ToUndo(Struct, frozen=True, kw_only=True):
    """A call that is to be undone. `doubtful`: nobody knows whether it took effect."""

    call_id: CallId
    step: str
    tool: str
    phase: UndoPhase
    attempt: int
    due_at: Instant | None
    doubtful: bool
    failure: str | None


class UndoingAt(Struct, frozen=True, kw_only=True):
    """What a run that ended without completing undoes; `queue` is in the order in which it does."""

    status: CompensationStatus
    queue: list[ToUndo]
    undone: list[CallId]
    left: list[CallId]


class RunStateAt(Struct, frozen=True, kw_only=True):
    """`version` counts the run's events from 1; `versions` is how many there are now."""

    run_id: RunId
    version: int
    versions: int
    position: str
    event_type: str
    at: Instant
    status: RunStatus
    awaiting: Awaiting
    paused_reason: str | None
    reason_code: str | None
    reason: str | None
    deadline_at: Instant
    limits: RunLimits
    used: Used
    input: Any
    outcomes: Annotated[Mapping[str, StepOutcome], Meta(description="How each step that is over ended, by its path.")]
    choices: Annotated[Mapping[str, Any], Meta(description="What each condition and list came to, by its path.")]
    open: Annotated[
        Mapping[str, str], Meta(description="What each step in flight waits for: a call, a question, a signal.")
    ]
    calls: list[CallInHand]
    model_calls: list[ModelCallInHand]
    awaited: Awaited
    early_signals: list[EarlySignal]
    compensation: UndoingAt


class _Event(Struct, frozen=True):
    position: str
    type: str
    at: Instant
    state: RunState


def state_as_of(history: Sequence[AnyRecorded], version: int | None) -> RunStateAt | None:
    """None for an empty history. `version` None is the newest. Raises Invalid for one that is not there."""
    versions = sum(len(recorded.commit.events) for recorded in history)
    if versions == 0:
        return None
    wanted = versions if version is None else version
    if not 1 <= wanted <= versions:
        wrong = Problem(path="/at", message=f"the run has versions 1 to {versions}", code="version")
        raise Invalid([wrong], "no such version")
    return _shown(_fold_to(history, wanted), wanted, versions)


def _fold_to(history: Sequence[AnyRecorded], wanted: int) -> _Event:
    state: RunState = NotStarted()
    version = 0
    for recorded in history:
        for index, event in enumerate(recorded.commit.events):
            state, version = evolve(state, event), version + 1
            if version == wanted:
                tag = str(event.__struct_config__.tag)
                return _Event(position(recorded.sequence, index), tag, recorded.commit.at, state)
    raise AssertionError("the version was found to be there")


def _shown(event: _Event, version: int, versions: int) -> RunStateAt:
    state = event.state
    assert isinstance(state, Active | Ended), "an event has begun it"
    run = state if isinstance(state, Active) else state.last
    code, reason = said_of(state.ending) if isinstance(state, Ended) else (None, None)
    return RunStateAt(
        run_id=run.run_id,
        version=version,
        versions=versions,
        position=event.position,
        event_type=event.type,
        at=event.at,
        status=status_of(state),
        awaiting=awaiting(run) if isinstance(state, Active) else "nothing",
        paused_reason=run.paused,
        reason_code=code,
        reason=reason,
        deadline_at=run.deadline_at,
        limits=run.limits,
        used=_used(run),
        input=run.start.input,
        outcomes=run.outcomes,
        choices=run.choices,
        open=run.open,
        calls=[_in_hand(call) for call in run.calls.values()],
        model_calls=[_asked(call) for call in run.model_calls.values()],
        awaited=awaited_of(run) if isinstance(state, Active) else awaited_after(state),
        compensation=_undoing(state),
        early_signals=[
            EarlySignal(signal_id=early.signal_id, name=early.name, payload=early.payload)
            for early in run.early_signals
        ],
    )


def _used(run: Active) -> Used:
    return Used(
        tool_calls=run.tool_calls_used,
        steps=run.steps_used,
        model_calls=run.model_calls_used,
        tokens=run.tokens_used,
        cost_usd_micros=run.cost_usd_micros,
    )


def _undoing(state: Active | Ended) -> UndoingAt:
    undoing = state.undoing if isinstance(state, Ended) else Undoing()
    return UndoingAt(
        status=undoing.status,
        queue=[_to_undo(undo) for undo in undoing.queue],
        undone=sorted(undoing.gone),
        left=sorted(undoing.left),
    )


def _to_undo(undo: Undo) -> ToUndo:
    return ToUndo(
        call_id=undo.call_id,
        step=undo.effect.request.step,
        tool=undo.effect.request.tool,
        phase=undo.phase,
        attempt=undo.attempt,
        due_at=undo.due_at,
        doubtful=undo.effect.doubtful,
        failure=f"{undo.failure.code}: {undo.failure.message}" if undo.failure else None,
    )


def _asked(call: OpenModelCall) -> ModelCallInHand:
    request, routed = call.request, call.routed
    return ModelCallInHand(
        call_id=request.call_id,
        step=request.step,
        purpose=request.purpose,
        route=request.route,
        phase=call.phase,
        attempt=call.attempt,
        provider=routed.provider if routed else "",
        model=routed.model if routed else "",
        held_for=call.held.held_for if call.held else "",
        retry_at=call.retry_at,
    )


def _in_hand(call: OpenCall) -> CallInHand:
    return CallInHand(
        call_id=call.request.call_id,
        step=call.request.step,
        tool=call.request.tool,
        arguments=call.request.arguments,
        phase=call.phase,
        attempt=call.attempt,
        policy_version=call.policy_version,
        rule_id=call.rule_id,
        reason=call.reason,
        approval_id=call.approval.approval_id if call.approval else None,
        approved_by=call.approved_by,
        retry_at=call.retry_at,
    )
