"""Takes orders from a lane and carries them out: checks at the moment of effect, the call, the outcome on the log.

An order is a hint. It is carried out only if the newest state of the run still wants exactly this attempt, so a stale,
doubled or invented order costs a look and nothing else.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog
from fairlead_sdk.contract import Effect, Idempotency
from fairlead_sdk.errors import ToolError

from fairlead.domain.approvals import WithdrawApproval
from fairlead.domain.envelope import SYSTEM, Actor, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.fairness import KEENNESS
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.capabilities import NotEntitled, hold_to
from fairlead.domain.runs.events import ToolCallRequested
from fairlead.domain.runs.permit import (
    Drop,
    Expire,
    Forbid,
    Go,
    Lost,
    Permit,
    Reconsider,
    Suspend,
    Wait,
    is_untouched,
    permit,
)
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, Ended, OpenCall, RunState
from fairlead.domain.switches.verdict import Stop
from fairlead.domain.tallies import PlacesWanted
from fairlead.domain.tenants.states import TenantState
from fairlead.handling.capabilities import Capabilities, Expired, UnknownKey
from fairlead.handling.dispatch import TOOL_LANE, Dispatch
from fairlead.handling.handler import MAX_SUPPLIES, Cause, Handler
from fairlead.handling.places import returned, supplied
from fairlead.handling.reconnecting import AccessCheck
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.switching import Brake
from fairlead.ports import Clock, Jobs, Log, Order
from fairlead.workers.answering import Result
from fairlead.workers.asking import Asking, because, fingerprint
from fairlead.workers.braking import Braking, held_by
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Braked, Place, place_of
from fairlead.workers.gates import Entered, Gates, Instead, PutBack
from fairlead.workers.holding import Holding, asked_for
from fairlead.workers.kept_orders import KeptOrder, kept_of
from fairlead.workers.remembering import Recall
from fairlead.workers.spending import NoBudget, Spending, Spent, fee_of
from fairlead.workers.undeliverable import undeliverable
from fairlead.workers.undoing import Undoing
from fairlead.workers.verifying import Verifying

HEARTBEAT_S = 3.0  # a third of an order's lease
RETRY_ORDER_S = 1.0
MAX_DOUBLINGS = 5  # of the pause before an order is tried again
PARK_S = 1.0  # whoever waits for no longer keeps its order
MAX_DELIVERIES = 5  # of an order that cannot be carried out for a fault of ours or of what is stored
ASKS_PER_CALL = 3  # of the counterpart at most: the call, its read-back, the call again
_log = structlog.get_logger()

Newest = tuple[RunState, TenantState]


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
        capabilities: Capabilities,
        rulebook: Rulebook,
        caller: Caller,
        gates: Gates,
        spending: Spending,
        brake: Brake,
        clock: Clock,
        max_in_flight: int = 64,
        lane: str = TOOL_LANE,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._worker_id = worker_id
        self._log = log
        self._jobs = jobs
        self._handler = handler
        self._asking = Asking(handler, dispatch, caller, rulebook, clock)
        self._verifying = Verifying(handler, caller, clock, worker_id)
        self._undoing = Undoing(handler, caller, clock, worker_id)
        self._braking = Braking(brake, handler, clock)
        self._access = AccessCheck(log, handler, clock)
        self._rulebook = rulebook
        self._caller = caller
        self._gates = gates
        self._spending = spending
        self._holding = Holding(handler, dispatch, clock)
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._lane = lane
        self._heartbeat_s = heartbeat_s
        self._under_way: dict[str, Order] = {}
        self._most_kept = max_in_flight - max_in_flight // (KEENNESS + 1)  # tenants that have none find a place
        self._parked = 0
        self._taken = 0  # orders accepted and not finished, from the lane or kept
        self._slots = asyncio.Semaphore(max_in_flight)
        self._dispatch = dispatch
        self._capabilities = capabilities
        self._decode = msgspec.json.Decoder(o.Order).decode

    async def run(self) -> None:
        """Until cancelled. Orders in flight are then left to their lease."""
        async with self._jobs.take(self._lane, self._max_in_flight) as orders, asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._extend_leases())
            self._tasks.create_task(self._gates.run())
            async for order in orders:
                self._taken += 1
                self._tasks.create_task(self._serve(order))

    async def _go_on(
        self, tenant_head: "asyncio.Future[list[LogSequence]]", run: StreamRef, facts: Sequence[Any], state: RunState
    ) -> None:
        """After an outcome: keep the call that follows, where there is room to spare, and send whatever else is owed.

        What waits in the lane goes first, whoever it belongs to.
        """
        owed = o.after(run.tenant_id, facts, state)
        if self._taken < self._most_kept and (kept := kept_of(owed, state)) is not None:
            owed.remove(kept)
            self._taken += 1
            self._tasks.create_task(self._serve_kept(kept, state, tenant_head))
        await self._dispatch.send(run, owed, state)

    async def _extend_leases(self) -> None:
        """Heartbeats: what is carried out here is not handed to another worker."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            for order in list(self._under_way.values()):
                await order.extend()
            await self._gates.keep()

    async def _serve(self, order: Order) -> None:
        try:
            wanted = self._decode(order.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _log.error("order_unreadable", size_bytes=len(order.body))
            await order.done()
        else:
            await self._serve_once(wanted, order)
        finally:
            self._taken -= 1

    async def _serve_kept(
        self, kept: o.CallOrder, state: RunState, tenant_head: "asyncio.Future[list[LogSequence]]"
    ) -> None:
        """Our append has just shown the run's head, and the tenant's was asked for beside it: nothing is newer, unless
        it had to wait for a slot."""
        run = StreamRef(kept.tenant_id, "run", kept.run_id)
        try:
            wanted = await self._capabilities.entitled(run, kept, state)
            (head,) = await tenant_head
            loaded = self._handler.kept(run)
            newest = (loaded, (await self._handler.load(_tenant(run), head)).state) if loaded is not None else None
            await self._serve_once(wanted, KeptOrder(), None if self._slots.locked() else newest)
        except Unavailable as unavailable:
            _log.warning("kept_order_left", order=o.order_id(kept), reason=str(unavailable))
        finally:
            self._taken -= 1

    async def _serve_once(self, wanted: o.Order, order: Order, newest: Newest | None = None) -> None:
        order_id = o.order_id(wanted)
        if order_id in self._under_way:  # made again by the watch, or its lease ran out, while it is carried out here
            await order.done()
            return
        self._under_way[order_id] = order
        try:
            async with self._slots:  # what was kept may have filled them
                await self._try(wanted, order, newest)
        finally:
            del self._under_way[order_id]

    async def _try(self, wanted: o.Order, order: Order, newest: Newest | None) -> None:
        """Whatever goes wrong with one order stays with it. One that is dropped here is made again by the watch."""
        began_s = time.monotonic()
        try:
            while (held := await self._held_back(wanted, order, newest)) is not None:
                if not await self._park(held, order, began_s):
                    await self._holding.put_back(held, wanted, order)
                    return
                newest = None
        except (Unavailable, StreamMoved) as again:
            _log.warning("order_put_back", order=o.order_id(wanted), reason=str(again))
            await order.later(_pause_s(order))
            return
        except NotEntitled as refused:
            _log.error("order_without_right", order=o.order_id(wanted), code=refused.code, reason=str(refused))
            knows_another = isinstance(refused, UnknownKey) and order.deliveries < MAX_DELIVERIES
            await (order.later(_pause_s(order)) if knows_another else order.done())
        except FairleadError as refused:
            _log.warning("order_refused", order=o.order_id(wanted), code=refused.code, reason=str(refused))
            await self._not_delivered(wanted, order, refused.code)
        except Exception as error:  # noqa: BLE001  # a fault of ours must cost this order only
            _log.error("order_failed", order=o.order_id(wanted), exc_info=error)
            await self._not_delivered(wanted, order, type(error).__name__)
        else:
            await order.done()

    async def _not_delivered(self, wanted: o.Order, order: Order, fault: str) -> None:
        """A few times more, by whoever takes it; then the run is told, if it can be."""
        if order.deliveries < MAX_DELIVERIES:
            await order.later(_pause_s(order))
            return
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        command = undeliverable(wanted, fault, self._worker_id, self._clock.now())
        try:
            if command is not None:
                await self._handler.handle(run, command, because(wanted, "undeliverable", SYSTEM))
        except FairleadError as refused:  # as unreadable as it was: the watch makes the order again
            _log.error("run_not_told", order=o.order_id(wanted), code=refused.code)
        await order.done()

    async def _held_back(self, wanted: o.Order, order: Order, newest: Newest | None) -> PutBack | None:
        try:
            await self._fulfil(wanted, order, newest)
        except PutBack as held:
            return held
        except Braked as braked:
            return held_by(braked.subject)
        return None

    async def _park(self, held: PutBack, order: Order, began_s: float) -> bool:
        """Wait here, without a slot, when it is for a moment; False when it is not, or too many wait here already."""
        if time.monotonic() + held.wait_s > began_s + PARK_S or self._parked >= self._max_in_flight:
            return False
        self._parked, self._taken = self._parked + 1, self._taken - 1
        order.park()
        self._slots.release()
        try:
            await asyncio.sleep(held.wait_s)
        finally:
            self._parked, self._taken = self._parked - 1, self._taken + 1
            order.unpark()
            await self._slots.acquire()
        return True

    async def _fulfil(self, wanted: o.Order, order: Order, newest: Newest | None) -> None:
        if isinstance(wanted, o.ToolOrder) and not await self._is_good(wanted):
            return
        match wanted:
            case o.CallOrder():
                await self._carry_out(wanted, order, newest)
            case o.VerifyOrder() | o.UndoOrder():
                await self._follow_up(wanted)
            case o.ReturnOrder():
                run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
                await returned(self._log, self._handler, run, wanted.call_id)
            case o.ApprovalOrder():
                await self._asking.ask(wanted)
            case o.WithdrawOrder():
                stream = StreamRef(wanted.tenant_id, "approval", wanted.approval_id)
                command = WithdrawApproval(reason=wanted.reason)
                await self._handler.handle(stream, command, because(wanted, "withdraw", SYSTEM))

    async def _is_good(self, wanted: o.CallsTool) -> bool:
        """Asked before anything else. A right ends with its run, which may not know yet. Raises NotEntitled."""
        try:
            self._capabilities.check(wanted)
        except Expired as expired:
            _log.warning("order_expired", order=o.order_id(wanted), reason=str(expired))
            await self._expire(wanted)
            return False
        return True

    async def _carry_out(
        self, wanted: o.CallOrder, order: Order, newest: Newest | None = None, waited: bool = False
    ) -> None:
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        state, tenant = newest or await self._newest(run)
        if not isinstance(state, Active):
            return
        rules = await self._rulebook.of_run(run, state, tenant)
        stop = self._braking.stop_of(run, state, wanted)
        match await self._permitted(wanted, state, tenant, rules, order, stop):
            case Go(call=call, lost_answer=True) if _unrepeatable(call) and not waited:
                await asyncio.sleep(ASKS_PER_CALL * call.request.timeout_s)  # whoever began it may still be at it
                await self._carry_out(wanted, order, waited=True)
            case Go(call=call, lost_answer=lost_answer):
                await self._make(wanted, run, (state, tenant), call, lost_answer, order)
            case Drop(why=why):
                _log.debug("order_dropped", order=o.order_id(wanted), why=why)
            case Forbid(by=by, rule_id=rule_id, reason=reason):
                denial = c.DenyCall(
                    call_id=wanted.call_id, by=by, rule_id=rule_id, reason=reason, now=self._clock.now()
                )
                await self._handler.handle(run, denial, because(wanted, "deny", SYSTEM))
            case Reconsider(reason=reason):
                await self._void(run, wanted, reason)
            case Wait() | Suspend() as stopped:
                await self._braking.obey(run, wanted, stopped)
            case Lost(reason=reason):
                unknown = c.CallErred(error_class="unknown_outcome", code="outcome_unknown", message=reason)
                await self._record(run, wanted, unknown, 0, because(wanted, "lost", SYSTEM))
            case Expire():
                await self._expire(wanted)

    async def _expire(self, wanted: o.CallsTool) -> None:
        """If the run's deadline has passed."""
        now = self._clock.now()
        command = c.FireAlarm(alarm=c.Alarm(kind="deadline", key=wanted.run_id, due_at=now), now=now)
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        await self._handler.handle(run, command, because(wanted, "expire", SYSTEM))

    async def _permitted(
        self,
        wanted: o.CallOrder,
        state: Active,
        tenant: TenantState,
        rules: WorkflowRules,
        order: Order,
        stop: Stop | None,
    ) -> Permit:
        """Asks other runs where a rule counts across them. Raises Unavailable, StreamMoved."""
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        for _ in range(MAX_SUPPLIES):
            try:
                return permit(wanted, state, tenant, rules, self._clock.now(), order.deliveries > 1, stop)
            except PlacesWanted as asked:
                rules = await supplied(self._handler, run, rules, asked)
        raise StreamMoved(f"call {wanted.call_id} wants to know more and more")

    async def _follow_up(self, wanted: o.VerifyOrder | o.UndoOrder) -> None:
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        state, tenant = await self._newest(run)
        match wanted, state:
            case o.VerifyOrder(), Active():
                await self._verifying.verify(wanted, run, state, tenant)
            case o.UndoOrder(), Ended():
                rules = await self._rulebook.of_run(run, state.last, tenant)
                await self._undoing.undo(wanted, run, state, tenant, rules)

    async def _newest(self, run: StreamRef) -> Newest:
        """Run and tenant as of now: one question about both heads, and reads only where something is new. A run that is
        not known here is read at once, which says as much as its head."""
        tenant = _tenant(run)
        if self._handler.kept(run) is None:
            loaded = await self._handler.load(run)
            (tenant_head,) = await self._log.heads([tenant])
        else:
            run_head, tenant_head = await self._log.heads([run, tenant])
            loaded = await self._handler.load(run, run_head)
        holder = await self._handler.load(tenant, tenant_head)
        return loaded.state, holder.state

    async def _make(
        self,
        wanted: o.CallOrder,
        run: StreamRef,
        newest: tuple[Active, TenantState],
        call: OpenCall,
        lost_answer: bool,
        order: Order,
    ) -> None:
        state, tenant = newest
        hold_to(wanted.capability, call.request.tool, state.tool_calls_used)
        agent = Actor(kind="agent", id=state.start.agent_principal_id)
        place = place_of(run.tenant_id, state)
        if call.approval is not None and await self._no_longer_as_shown(call, place, lost_answer):
            await self._void(run, wanted, "what the reviewers saw has changed")
            return
        recall = await self._caller.recall(call, place, tenant)
        if recall is not None and recall.fresh is not None:
            await self._record(run, wanted, recall.fresh, 0, because(wanted, self._seen(order), agent))
            return
        entered = await self._gates.enter(asked_for(run, state, call, recall.last if recall else None))
        made = _Made(entered.outcome) if isinstance(entered, Instead) else None
        try:
            if isinstance(entered, Entered):
                made = await self._made(wanted, run, newest, call, lost_answer, order, recall)
                if made is None:
                    return
        finally:
            if isinstance(entered, Entered):
                await self._gates.leave(entered, made.outcome if made is not None else None)
        assert made is not None, "a call that was made has an outcome"
        outcome = made.outcome
        await self._record(run, wanted, outcome, made.latency_us, because(wanted, self._seen(order), agent), made.fee)
        self._spending.end(made.spent, outcome)
        if isinstance(outcome, c.CallErred) and outcome.connection_id:
            await self._access.look(run, outcome.connection_id, f"{wanted.call_id}.{wanted.attempt}")

    async def _made(
        self,
        wanted: o.CallOrder,
        run: StreamRef,
        newest: tuple[Active, TenantState],
        call: OpenCall,
        lost_answer: bool,
        order: Order,
        recall: Recall | None,
    ) -> "_Made | None":
        """Within its budgets; None when it is not made after all. Whoever dies in here leaves what was reserved."""
        state, tenant = newest
        place = place_of(run.tenant_id, state)
        try:
            cost_usd_micros = await self._caller.cost_usd_micros(call, place)
            spent = await self._spending.begin(run, state, tenant, call, cost_usd_micros)
        except NoBudget as refused:
            await self._refuse_for_budget(wanted, run, call, lost_answer, order, refused)
            return None
        agent = Actor(kind="agent", id=state.start.agent_principal_id)
        if _must_be_marked(call) and not lost_answer and not await self._mark_started(wanted, run, agent, call):
            self._spending.give_back(spent)
            return None
        began = time.perf_counter()  # a duration, not a point in time
        try:
            outcome = await self._caller.call(call, place, lost_answer, recall, _beside(state, call))
        except Braked as braked:
            if not lost_answer:
                self._spending.give_back(spent)
            await self._braking.take_back(run, wanted, call, braked, lost_answer)
            raise
        took_us = round((time.perf_counter() - began) * 1_000_000)
        return _Made(outcome, took_us, spent, fee_of(cost_usd_micros, call, outcome))

    async def _refuse_for_budget(
        self,
        wanted: o.CallOrder,
        run: StreamRef,
        call: OpenCall,
        lost_answer: bool,
        order: Order,
        refused: NoBudget,
    ) -> None:
        """Denied, unless an earlier worker may have made it: then only people can tell."""
        was_out_before = (order.deliveries > 1 or wanted.remade) and not is_untouched(call)
        if lost_answer or (was_out_before and call.request.effect is not Effect.READ):
            unknown = c.CallErred(error_class="unknown_outcome", code="outcome_unknown", message=str(refused))
            await self._record(run, wanted, unknown, 0, because(wanted, "lost", SYSTEM))
            return
        denial = c.DenyCall(
            call_id=wanted.call_id, by="budget", rule_id=refused.code, reason=str(refused), now=self._clock.now()
        )
        await self._handler.handle(run, denial, because(wanted, "deny", SYSTEM))

    def _seen(self, order: Order) -> str:
        """What another worker saw later is another report."""
        return f"outcome-{self._worker_id}-{order.deliveries}"

    async def _mark_started(self, wanted: o.CallOrder, run: StreamRef, agent: Actor, call: OpenCall) -> bool:
        """False when the run moved on between the check and the mark."""
        command = c.MarkStarted(
            call_id=wanted.call_id, attempt=wanted.attempt, worker=self._worker_id, now=self._clock.now()
        )
        marked = await self._handler.handle(
            run, command, because(wanted, f"start-{self._worker_id}{_taken_back(call)}", agent)
        )
        return bool(marked.facts)

    async def _record(
        self,
        run: StreamRef,
        wanted: o.CallOrder,
        outcome: Result,
        latency_us: int,
        cause: Cause,
        fee_usd_micros: int = 0,
    ) -> None:
        """The effect has happened: keep trying to record it while this worker lives, then leave it to the next."""
        command = c.RecordOutcome(
            call_id=wanted.call_id,
            attempt=wanted.attempt,
            outcome=outcome,
            latency_us=latency_us,
            worker=self._worker_id,
            now=self._clock.now(),
            fee_usd_micros=fee_usd_micros,
        )
        while True:
            tenant_head = asyncio.ensure_future(self._log.heads([_tenant(run)]))  # leaves together with the append
            tenant_head.add_done_callback(_seen)
            try:
                await self._handler.handle(run, command, cause, partial(self._go_on, tenant_head))
                return
            except (Unavailable, StreamMoved) as again:
                _log.warning("outcome_not_recorded_yet", call_id=command.call_id, reason=str(again))
                await asyncio.sleep(RETRY_ORDER_S)

    async def _no_longer_as_shown(self, call: OpenCall, place: Place, lost_answer: bool) -> bool:
        """Whether the world moved after the reviewers looked, and not by this very call. Raises Unavailable."""
        if fingerprint(await self._asking.evidence(call, place)) == call.fingerprint:
            return False
        try:
            return await self._caller.found(call, place) is None
        except (ToolError, TimeoutError):
            return not lost_answer  # nobody can tell: what was begun goes on under its key

    async def _void(self, run: StreamRef, wanted: o.CallOrder, reason: str) -> None:
        command = c.VoidApproval(call_id=wanted.call_id, reason=reason, now=self._clock.now())
        await self._handler.handle(run, command, because(wanted, "void", SYSTEM))


class _Made(NamedTuple):
    """What came of a call, how long it took, what it had reserved, and what is due for it in millionths of a dollar."""

    outcome: Result
    latency_us: int = 0
    spent: Spent | None = None
    fee: int = 0


def _tenant(run: StreamRef) -> StreamRef:
    return StreamRef(run.tenant_id, "tenant", run.tenant_id)


def _seen(answer: "asyncio.Future[Any]") -> None:
    """Whether anybody needs it is not known when it is asked for."""
    if not answer.cancelled():
        answer.exception()


def _beside(state: Active, call: OpenCall) -> int:
    """How many calls of the same tool are on their way too."""

    def like(request: ToolCallRequested) -> tuple[str, str, str]:
        return request.tool, request.schema_hash, request.connection

    there = sum(
        other.phase in ("dispatched", "started") and like(other.request) == like(call.request)
        for other in state.calls.values()
    )
    return there - 1


def _must_be_marked(call: OpenCall) -> bool:
    """Whether it has to be known afterwards that this attempt was begun."""
    if call.obligations.dry_run:
        return False
    is_held_write = call.held is not None and call.request.effect is not Effect.READ
    return _unrepeatable(call) or call.approval is not None or is_held_write


def _taken_back(call: OpenCall) -> str:
    """A mark that was taken back can be made again."""
    return f"-{call.held.until.timestamp():.3f}" if call.held is not None else ""


def _unrepeatable(call: OpenCall) -> bool:
    request = call.request
    return request.effect is not Effect.READ and request.idempotency is Idempotency.NONE


def _pause_s(order: Order) -> float:
    """Doubles, and spreads over its half."""
    ceiling_s: float = RETRY_ORDER_S * 2 ** min(order.deliveries - 1, MAX_DOUBLINGS)
    return ceiling_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads orders, guards nothing
