"""Takes orders from a lane and carries them out: checks at the moment of effect, the call, the outcome on the log.

An order is a hint. It is carried out only if the newest state of the run still wants exactly this attempt, so a stale,
doubled or invented order costs a look and nothing else.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import rfc8785
import structlog
from fairlead_sdk.contract import Effect, Idempotency
from fairlead_sdk.errors import ToolError, TryLater
from fairlead_tenants.ids import TenantId

from fairlead.domain.approvals import ApprovalRequested, RequestApproval, WithdrawApproval
from fairlead.domain.envelope import SYSTEM, Actor, StreamRef
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.redaction import redact
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.permit import Drop, Expire, Forbid, Go, Reconsider, permit
from fairlead.domain.runs.states import Active, OpenCall
from fairlead.handling.dispatch import TOOL_LANE, ApprovalAlarm, Dispatch
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.rulebook import Rulebook
from fairlead.ports import Clock, Jobs, Log, Order
from fairlead.workers.calling import Caller, Place

HEARTBEAT_S = 10.0  # a third of an order's lease
RETRY_ORDER_S = 1.0
_log = structlog.get_logger()


class ToolWorker:
    """`worker_id` is recorded with each outcome. One order is one task; `max_in_flight` bounds them."""

    def __init__(
        self,
        *,
        worker_id: str,
        log: Log,
        jobs: Jobs,
        handler: Handler,
        dispatch: Dispatch,
        rulebook: Rulebook,
        caller: Caller,
        clock: Clock,
        max_in_flight: int = 64,
        lane: str = TOOL_LANE,
    ) -> None:
        self._worker_id = worker_id
        self._log = log
        self._jobs = jobs
        self._handler = handler
        self._dispatch = dispatch
        self._rulebook = rulebook
        self._caller = caller
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._lane = lane
        self._decode = msgspec.json.Decoder(o.Order).decode

    async def run(self) -> None:
        """Until cancelled. Orders in flight are then left to their lease."""
        async with self._jobs.take(self._lane, self._max_in_flight) as orders, asyncio.TaskGroup() as tasks:
            async for order in orders:
                tasks.create_task(self._serve(order))

    async def _serve(self, order: Order) -> None:
        try:
            wanted = self._decode(order.body)
        except msgspec.DecodeError:
            _log.error("order_unreadable", size_bytes=len(order.body))
            await order.done()
            return
        try:
            await self._fulfil(wanted, order)
            await order.done()
        except (Unavailable, StreamMoved) as again:
            _log.warning("order_put_back", order=o.order_id(wanted), reason=str(again))
            await order.later(RETRY_ORDER_S)
        except FairleadError as refused:
            _log.warning("order_refused", order=o.order_id(wanted), code=refused.code, reason=str(refused))
            await order.done()

    async def _fulfil(self, wanted: o.Order, order: Order) -> None:
        match wanted:
            case o.CallOrder():
                await self._carry_out(wanted, order)
            case o.ApprovalOrder():
                await self._ask_approval(wanted)
            case o.WithdrawOrder():
                stream = StreamRef(wanted.tenant_id, "approval", wanted.approval_id)
                command = WithdrawApproval(reason=wanted.reason)
                await self._handler.handle(stream, command, _because(wanted, "withdraw", SYSTEM))

    # --- calls ---------------------------------------------------------------------------------------------------

    async def _carry_out(self, wanted: o.CallOrder, order: Order) -> None:
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        state, tenant = await self._newest(run)
        if not isinstance(state, Active):
            return
        rules = await self._rulebook.of_run(run, state)
        match permit(wanted, state, tenant, rules, self._clock.now()):
            case Go(call=call, lost_answer=lost_answer):
                await self._make(wanted, run, state, call, lost_answer, order)
            case Drop(why=why):
                _log.debug("order_dropped", order=o.order_id(wanted), why=why)
            case Forbid(by=by, rule_id=rule_id, reason=reason):
                denial = c.DenyCall(
                    call_id=wanted.call_id, by=by, rule_id=rule_id, reason=reason, now=self._clock.now()
                )
                await self._handler.handle(run, denial, _because(wanted, "deny", SYSTEM))
            case Reconsider(reason=reason):
                await self._void(run, wanted, reason)
            case Expire():
                alarm = c.Alarm(kind="deadline", key=wanted.run_id, due_at=state.deadline_at)
                command = c.FireAlarm(alarm=alarm, now=self._clock.now())
                await self._handler.handle(run, command, _because(wanted, "expire", SYSTEM))

    async def _newest(self, run: StreamRef) -> tuple[Any, Any]:
        """Run and tenant as of now: one question about both heads, and reads only where something is new."""
        tenant = StreamRef(run.tenant_id, "tenant", run.tenant_id)
        run_head, tenant_head = await self._log.heads([run, tenant])
        loaded = await self._handler.load(run, run_head)
        holder = await self._handler.load(tenant, tenant_head)
        return loaded.state, holder.state

    async def _make(
        self, wanted: o.CallOrder, run: StreamRef, state: Active, call: OpenCall, lost_answer: bool, order: Order
    ) -> None:
        agent = Actor(kind="agent", id=state.start.agent_principal_id)
        place = Place(run.tenant_id, state.start.environment_kind)
        if call.approval is not None and order.deliveries == 1 and await self._no_longer_as_shown(call, place):
            await self._void(run, wanted, "what the reviewers saw has changed")
            return
        if _must_be_marked(call) and not lost_answer and not await self._mark_started(wanted, run, agent):
            return
        began = time.perf_counter()  # a duration, not a point in time
        async with _heartbeat(order):
            outcome = await self._caller.call(call, place, lost_answer)
        command = c.RecordOutcome(
            call_id=wanted.call_id,
            attempt=wanted.attempt,
            outcome=outcome,
            latency_us=round((time.perf_counter() - began) * 1_000_000),
            worker=self._worker_id,
            now=self._clock.now(),
        )
        await self._record(run, command, _because(wanted, "outcome", agent))

    async def _mark_started(self, wanted: o.CallOrder, run: StreamRef, agent: Actor) -> bool:
        """False when the run moved on between the check and the mark."""
        command = c.MarkStarted(
            call_id=wanted.call_id, attempt=wanted.attempt, worker=self._worker_id, now=self._clock.now()
        )
        marked = await self._handler.handle(run, command, _because(wanted, f"start-{self._worker_id}", agent))
        return bool(marked.facts)

    async def _record(self, run: StreamRef, command: c.RecordOutcome, cause: Cause) -> Handled:
        """The effect has happened: keep trying to record it while this worker lives, then leave it to the next."""
        while True:
            try:
                return await self._handler.handle(run, command, cause)
            except (Unavailable, StreamMoved) as again:
                _log.warning("outcome_not_recorded_yet", call_id=command.call_id, reason=str(again))
                await asyncio.sleep(RETRY_ORDER_S)

    async def _done_already(self, call: OpenCall, place: Place) -> bool:
        """Whether an earlier attempt moved the state itself; then the call is made again under its key, harmlessly."""
        try:
            return await self._caller.found(call, place) is not None
        except (ToolError, TimeoutError):
            return False

    async def _no_longer_as_shown(self, call: OpenCall, place: Place) -> bool:
        """Whether the world moved after the reviewers looked, and not by this very call."""
        moved = await self._fingerprint_now(call, place) not in (call.fingerprint, None)
        return moved and not await self._done_already(call, place)

    async def _fingerprint_now(self, call: OpenCall, place: Place) -> str | None:
        """None when the state cannot be read: the tool itself will then say so."""
        try:
            return fingerprint(redact(await self._caller.preview(call, place))[0])
        except (ToolError, TimeoutError):
            return None

    async def _void(self, run: StreamRef, wanted: o.CallOrder, reason: str) -> None:
        command = c.VoidApproval(call_id=wanted.call_id, reason=reason, now=self._clock.now())
        await self._handler.handle(run, command, _because(wanted, "void", SYSTEM))

    # --- approvals -----------------------------------------------------------------------------------------------

    async def _ask_approval(self, wanted: o.ApprovalOrder) -> None:
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        loaded = await self._handler.load(run)
        call = loaded.state.calls.get(wanted.call_id) if isinstance(loaded.state, Active) else None
        if call is None or call.approval is None or call.approval.approval_id != wanted.approval_id:
            return
        requested = await self._question_for_people(loaded.state, call, wanted.tenant_id)
        stream = StreamRef(wanted.tenant_id, "approval", wanted.approval_id)
        await self._dispatch.approval_deadline(
            ApprovalAlarm(tenant_id=wanted.tenant_id, approval_id=wanted.approval_id, due_at=requested.deadline_at)
        )
        cause = _because(wanted, "ask", Actor(kind="agent", id=loaded.state.start.agent_principal_id))
        await self._handler.handle(stream, RequestApproval(requested=requested), cause)

    async def _question_for_people(self, state: Active, call: OpenCall, tenant_id: TenantId) -> ApprovalRequested:
        asked, request = call.approval, call.request
        assert asked is not None, "the caller has looked"
        place = Place(tenant_id, state.start.environment_kind)
        shown, _ = redact(await self._evidence(call, place))
        return ApprovalRequested(
            run_id=state.run_id,
            call_id=request.call_id,
            workspace_id=state.start.workspace_id,
            workflow_name=state.start.workflow_name,
            tool=request.tool,
            arguments=request.arguments,
            rule_id=call.rule_id,
            reason=call.reason,
            evidence=shown,
            fingerprint=fingerprint(shown),
            digest=asked.digest,
            count=asked.count,
            roles=asked.roles,
            requested_by=(state.start.started_by, state.start.agent_principal_id),
            deadline_at=asked.deadline_at,
        )

    async def _evidence(self, call: OpenCall, place: Place) -> dict[str, Any]:
        """Raises Unavailable when the counterpart asks to come back later: people should not decide blind."""
        try:
            return await self._caller.preview(call, place)
        except (TryLater, TimeoutError) as later:
            raise Unavailable(f"the evidence for {call.request.tool}") from later
        except ToolError as error:
            return {"preview_failed": {"code": error.code, "message": str(error)}}


def fingerprint(shown: object) -> str:
    """SHA-256 over the canonical JSON of what reviewers were shown."""
    return hashlib.sha256(rfc8785.dumps(shown)).hexdigest()  # type: ignore[arg-type]  # plain JSON by contract


def _must_be_marked(call: OpenCall) -> bool:
    request = call.request
    return request.effect is not Effect.READ and request.idempotency is Idempotency.NONE


def _because(wanted: o.Order, what: str, actor: Actor) -> Cause:
    """The same order always gives the same command ids."""
    order = o.order_id(wanted)
    return Cause(
        actor=actor,
        command_id=CommandId(f"cmd_{order}.{what}"),
        causation_id=order,
        correlation_id=wanted.run_id,
    )


@asynccontextmanager
async def _heartbeat(order: Order) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await order.extend()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
