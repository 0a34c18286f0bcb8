"""What the world owes a run: orders for workers and alarms for timers, read off the facts or off the state.

Orders and alarms are hints that can be lost. `after` names the ones that new facts bring, for the process that has just
appended them; `outstanding` names all of a state, for the watch that makes lost ones again.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.ids import ApprovalId, CallId, ModelCallId, RunId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.capabilities import Capability
from fairlead.domain.runs.commands import Alarm
from fairlead.domain.runs.states import Active, Ended, Gone, OpenCall, OpenModelCall, RunState


class Entitled(Struct, frozen=True, kw_only=True, tag_field="order"):
    """What is obeyed only with the right to it, which it gets when it is sent."""

    tenant_id: TenantId
    run_id: RunId
    capability: Capability | None = None


class ToolOrder(Entitled, frozen=True, kw_only=True):
    """What comes to a call of a tool."""

    call_id: CallId


class CallOrder(ToolOrder, frozen=True, kw_only=True, tag="call"):
    """Carry out this attempt of this call, if the run still wants it.

    `resumed` is how often the run had been resumed: an order that was dropped while the run was paused is made anew.
    `remade`: another order for the same attempt went out before, and somebody may have got as far as the effect.
    """

    attempt: int
    resumed: int = 0
    remade: bool = False


class VerifyOrder(ToolOrder, frozen=True, kw_only=True, tag="verify"):
    """Read back what this completed call wrote, if the run still waits for it."""


class UndoOrder(ToolOrder, frozen=True, kw_only=True, tag="undo"):
    """Undo this call of a run that has ended, if its turn has come and this is the attempt."""

    attempt: int


class ModelOrder(Entitled, frozen=True, kw_only=True, tag="model"):
    """Ask a model, if the run still wants it and this is the attempt. `resumed` and `remade` as in a call's order."""

    call_id: ModelCallId
    attempt: int
    resumed: int = 0
    remade: bool = False


class ReturnOrder(Struct, frozen=True, kw_only=True, tag_field="order", tag="return_places"):
    """The call is not made: it counts no more. The run's history says where it counted."""

    tenant_id: TenantId
    run_id: RunId
    call_id: CallId


class ApprovalOrder(ToolOrder, frozen=True, kw_only=True, tag="ask_approval"):
    """Gather the evidence of this call and put it before people."""

    approval_id: ApprovalId


class WithdrawOrder(Struct, frozen=True, kw_only=True, tag_field="order", tag="withdraw_approval"):
    """Nobody needs to answer this approval any more."""

    tenant_id: TenantId
    run_id: RunId
    approval_id: ApprovalId
    reason: str


CallsTool = CallOrder | VerifyOrder | UndoOrder | ApprovalOrder
Order = CallsTool | ModelOrder | ReturnOrder | WithdrawOrder
Owed = Order | Alarm
Awaiting = Literal["work", "approval", "person", "connection", "signal", "time", "nothing"]


def order_id(order: Order) -> str:
    """The same for the same obligation, so that an engine can drop a second copy."""
    match order:
        case CallOrder() | ModelOrder():
            return f"{order.call_id}.{order.attempt}.{order.resumed}"
        case VerifyOrder():
            return f"{order.call_id}.verify"
        case UndoOrder():
            return f"{order.call_id}.undo.{order.attempt}"
        case ReturnOrder():
            return f"{order.call_id}.return"
        case ApprovalOrder():
            return f"{order.approval_id}.ask"
        case WithdrawOrder():
            return f"{order.approval_id}.withdraw"


def after(tenant_id: TenantId, facts: Sequence[e.RunEvent], state: RunState) -> list[Owed]:
    """What new facts bring, given the state they led to."""
    returned: list[Owed] = [*_returned(tenant_id, facts, state)]
    return [*returned, *_after(tenant_id, facts, state)]


def _returned(tenant_id: TenantId, facts: Sequence[e.RunEvent], state: RunState) -> Iterator[ReturnOrder]:
    run = state.last if isinstance(state, Ended) else state
    for fact in facts:
        if isinstance(fact, e.ToolCallUncounted):
            assert isinstance(run, Active), "facts make a run"
            yield ReturnOrder(tenant_id=tenant_id, run_id=run.run_id, call_id=fact.call_id)


def _after(tenant_id: TenantId, facts: Sequence[e.RunEvent], state: RunState) -> list[Owed]:
    if isinstance(state, Ended):
        has_just_ended = any(isinstance(fact, e.RunEnding) for fact in facts)
        withdrawn = _withdrawals(tenant_id, state) if has_just_ended else ()
        return [*_skipped(tenant_id, facts, state.last), *withdrawn, *_owed_to_undo(tenant_id, state)]
    if isinstance(state, Gone):
        return []
    assert isinstance(state, Active), "facts make a run"
    if any(isinstance(fact, e.RunResumed) for fact in facts):
        return outstanding(tenant_id, state)
    brought = [*_skipped(tenant_id, facts, state), *_brought(tenant_id, facts, state)]
    if awaiting(state) != "work":  # a run at work meets its deadline at the next call
        brought.append(Alarm(kind="deadline", key=state.run_id, due_at=state.deadline_at))
    return (
        [owed for owed in brought if isinstance(owed, Alarm | WithdrawOrder)] if state.paused is not None else brought
    )


def _brought(tenant_id: TenantId, facts: Iterable[e.RunEvent], state: Active) -> Iterator[Owed]:
    for fact in facts:
        match fact:
            case e.ToolCallDispatched() | e.ToolCallApprovalRequested() | e.ToolCallCompleted():
                if (call := state.calls.get(fact.call_id)) is not None:
                    yield from _owed_to_call(tenant_id, state, call)
            case e.ToolCallFailed(call_id=call_id, retry_at=retry_at) if retry_at is not None:
                yield Alarm(kind="retry", key=call_id, due_at=retry_at)
            case e.ToolCallHeld():  # it may be long until the next look, which else finds the run past its deadline
                yield Alarm(kind="deadline", key=state.run_id, due_at=state.deadline_at)
            case _ if type(fact) in _MOVES_MODEL_CALLS:
                yield from _brought_to_models(tenant_id, fact, state)
            case _:
                yield from _brought_waits(fact)


def _brought_waits(fact: e.RunEvent) -> Iterator[Alarm]:
    match fact:
        case e.QuestionAsked(question_id=question_id, deadline_at=deadline_at) if deadline_at is not None:
            yield Alarm(kind="question", key=question_id, due_at=deadline_at)
        case e.SignalAwaited(step=step, deadline_at=deadline_at) if deadline_at is not None:
            yield Alarm(kind="signal", key=step, due_at=deadline_at)
        case e.TimeAwaited(step=step, due_at=due_at):
            yield Alarm(kind="time", key=step, due_at=due_at)
        case _:
            pass


_MOVES_MODEL_CALLS = frozenset({e.ModelCallRequested, e.ModelCallAttemptFailed, e.ModelCallResumed, e.LimitRaised})


def _brought_to_models(tenant_id: TenantId, fact: e.RunEvent, state: Active) -> Iterator[Owed]:
    match fact:
        case e.ModelCallRequested() | e.ModelCallAttemptFailed() | e.ModelCallResumed():
            if (asked := state.model_calls.get(fact.call_id)) is not None:
                yield from _owed_to_model_call(tenant_id, state, asked)
        case e.LimitRaised():
            for asked in state.model_calls.values():
                yield from _owed_to_model_call(tenant_id, state, asked, remade=True)


def _skipped(tenant_id: TenantId, facts: Iterable[e.RunEvent], state: Active) -> Iterator[Owed]:
    for fact in facts:
        if isinstance(fact, e.ToolCallReleased) and fact.approval_id is not None:
            yield WithdrawOrder(
                tenant_id=tenant_id, run_id=state.run_id, approval_id=fact.approval_id, reason="the call was skipped"
            )


def _owed_to_call(tenant_id: TenantId, state: Active, call: OpenCall, remade: bool = False) -> Iterator[Owed]:
    run_id, call_id = state.run_id, call.request.call_id
    match call.phase:
        case "dispatched" | "started":
            yield CallOrder(
                tenant_id=tenant_id,
                run_id=run_id,
                call_id=call_id,
                attempt=call.attempt,
                resumed=state.resumed,
                remade=remade,
            )
        case "verifying":
            yield VerifyOrder(tenant_id=tenant_id, run_id=run_id, call_id=call_id)
        case "awaiting_approval" if call.approval is not None:
            approval_id = call.approval.approval_id
            yield ApprovalOrder(tenant_id=tenant_id, run_id=run_id, call_id=call_id, approval_id=approval_id)
        case "backing_off" if call.retry_at is not None:
            yield Alarm(kind="retry", key=call_id, due_at=call.retry_at)
        case _:
            pass


def _owed_to_model_call(
    tenant_id: TenantId, state: Active, call: OpenModelCall, remade: bool = False
) -> Iterator[Owed]:
    """Whoever came through a door asks by itself; only that it went away without a word is noticed here."""
    request = call.request
    if call.phase == "backing_off" and call.retry_at is not None:
        yield Alarm(kind="retry", key=request.call_id, due_at=call.retry_at)
    elif request.door != "run":
        if remade and call.routed is not None:
            yield Alarm(kind="model", key=request.call_id, due_at=call.routed.until)
    elif call.phase == "routed" or state.limit_reached is None:
        yield ModelOrder(
            tenant_id=tenant_id,
            run_id=state.run_id,
            call_id=request.call_id,
            attempt=call.attempt + (call.phase == "requested"),
            resumed=state.resumed,
            remade=remade,
        )


def _withdrawals(tenant_id: TenantId, state: Ended) -> Iterator[Order]:
    for call in state.last.calls.values():
        if call.phase == "awaiting_approval" and call.approval is not None:
            yield WithdrawOrder(
                tenant_id=tenant_id,
                run_id=state.last.run_id,
                approval_id=call.approval.approval_id,
                reason=f"the run has ended: {state.outcome}",
            )


def _owed_to_undo(tenant_id: TenantId, state: Ended) -> Iterator[Owed]:
    head = state.undoing.head
    if head is None:
        return
    if head.phase == "dispatched":
        run_id = state.last.run_id
        yield UndoOrder(tenant_id=tenant_id, run_id=run_id, call_id=head.call_id, attempt=head.attempt)
    elif head.due_at is not None:
        yield Alarm(kind="undo", key=head.call_id, due_at=head.due_at)


def outstanding(tenant_id: TenantId, state: RunState) -> list[Owed]:
    """Everything a state is owed; for a run under way always its deadline too."""
    if isinstance(state, Ended):
        return [*_withdrawals(tenant_id, state), *_owed_to_undo(tenant_id, state)]
    if not isinstance(state, Active):
        return []
    owed: list[Owed] = [Alarm(kind="deadline", key=state.run_id, due_at=state.deadline_at), *_waits(state)]
    for call in state.calls.values():
        owed.extend(_owed_to_call(tenant_id, state, call, remade=True))
    for asked in state.model_calls.values():
        owed.extend(_owed_to_model_call(tenant_id, state, asked, remade=True))
    if state.paused is not None:
        return [each for each in owed if isinstance(each, Alarm)]
    return owed


def _is_thinking(state: Active) -> bool:
    """Whether a model call is under way, or about to be. One that would pass a limit waits for people, and one that
    came through a door is not the run's own work."""
    phases = {call.phase for call in state.model_calls.values() if call.request.door == "run"}
    return "routed" in phases or ("requested" in phases and state.limit_reached is None)


def _waits(state: Active) -> Iterator[Alarm]:
    for asked in state.questions.values():
        if asked.deadline_at is not None:
            yield Alarm(kind="question", key=asked.question_id, due_at=asked.deadline_at)
    for awaited in state.signals_awaited.values():
        if awaited.deadline_at is not None:
            yield Alarm(kind="signal", key=awaited.step, due_at=awaited.deadline_at)
    for time in state.times_awaited.values():
        yield Alarm(kind="time", key=time.step, due_at=time.due_at)


def awaiting(state: Active) -> Awaiting:
    """What a run under way waits for, in one word: the busiest of what it waits for."""
    phases = {call.phase for call in state.calls.values()}
    thinking = {call.phase for call in state.model_calls.values()}
    if state.paused is not None:
        return "nothing"
    if phases & {"dispatched", "started", "requested", "judged", "verifying"} or _is_thinking(state):
        return "work"
    if "awaiting_approval" in phases:
        return "approval"
    if state.questions:
        return "person"
    if "awaiting_connection" in phases:
        return "connection"
    if state.signals_awaited:
        return "signal"
    if state.times_awaited or "backing_off" in phases | thinking:
        return "time"
    return "nothing"
