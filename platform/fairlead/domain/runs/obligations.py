"""What the world owes a run: orders for workers and alarms for timers, read off the facts or off the state.

Orders and alarms are hints that can be lost. `after` names the ones that new facts bring, for the process that has just
appended them; `outstanding` names all of a state, for the watch that makes lost ones again.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.ids import ApprovalId, CallId, RunId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.capabilities import Capability
from fairlead.domain.runs.commands import Alarm
from fairlead.domain.runs.states import Active, Ended, Gone, OpenCall, RunState


class ToolOrder(Struct, frozen=True, kw_only=True, tag_field="order"):
    """What comes to a call of a tool. It is obeyed only with the right to it, which it gets when it is sent."""

    tenant_id: TenantId
    run_id: RunId
    call_id: CallId
    capability: Capability | None = None


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
Order = CallsTool | ReturnOrder | WithdrawOrder
Owed = Order | Alarm
Awaiting = Literal["work", "approval", "person", "connection", "signal", "time", "nothing"]


def order_id(order: Order) -> str:
    """The same for the same obligation, so that an engine can drop a second copy."""
    match order:
        case CallOrder():
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
            case e.QuestionAsked(question_id=question_id, deadline_at=deadline_at) if deadline_at is not None:
                yield Alarm(kind="question", key=question_id, due_at=deadline_at)
            case e.SignalAwaited(step=step, deadline_at=deadline_at) if deadline_at is not None:
                yield Alarm(kind="signal", key=step, due_at=deadline_at)
            case e.TimeAwaited(step=step, due_at=due_at):
                yield Alarm(kind="time", key=step, due_at=due_at)
            case _:
                pass


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
    if state.paused is not None:
        return [each for each in owed if isinstance(each, Alarm)]
    return owed


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
    if state.paused is not None:
        return "nothing"
    if phases & {"dispatched", "started", "requested", "judged", "verifying"}:
        return "work"
    if "awaiting_approval" in phases:
        return "approval"
    if state.questions:
        return "person"
    if "awaiting_connection" in phases:
        return "connection"
    if state.signals_awaited:
        return "signal"
    if state.times_awaited or "backing_off" in phases:
        return "time"
    return "nothing"
