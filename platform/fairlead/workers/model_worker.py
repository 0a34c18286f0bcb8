"""Takes orders to ask models from their lane: looks whether the run still wants it, asks, records what came of it.

An order is a hint, as an order to call a tool is. An attempt that somebody began and left is never taken for unmade:
what it may have been charged counts as spent, and it is asked again under the next number.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import structlog

from fairlead.domain.envelope import SYSTEM, Actor, StreamRef
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.ids import ModelCallId
from fairlead.domain.models.failures import ModelFailed
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.capabilities import NotEntitled, hold_to_models
from fairlead.domain.runs.model_requests import request_of
from fairlead.domain.runs.states import Active, OpenModelCall, RunState
from fairlead.domain.tenants.states import TenantState
from fairlead.handling.capabilities import Capabilities, Expired, UnknownKey
from fairlead.handling.dispatch import MODEL_LANE, Dispatch
from fairlead.handling.handler import Handler
from fairlead.handling.model_asking import Asking, Later, MovedOn, Refused, Stopped
from fairlead.handling.model_attempts import ModelAttempts
from fairlead.handling.rulebook import Rulebook
from fairlead.ports import Clock, Jobs, Log, Order
from fairlead.workers.asking import because

HEARTBEAT_S = 3.0  # a third of an order's lease
MOST_WAIT_S = 60.0  # before a call that has to wait is looked at again
MAX_DELIVERIES = 5  # of an order that cannot be carried out for a fault of ours or of what is stored
MAX_DOUBLINGS = 5
_log = structlog.get_logger()


class ModelWorker:
    """One order is one task; `max_in_flight` bounds them."""

    def __init__(
        self,
        *,
        log: Log,
        jobs: Jobs,
        handler: Handler,
        dispatch: Dispatch,
        capabilities: Capabilities,
        rulebook: Rulebook,
        attempts: ModelAttempts,
        clock: Clock,
        max_in_flight: int = 64,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._log = log
        self._jobs = jobs
        self._handler = handler
        self._dispatch = dispatch
        self._capabilities = capabilities
        self._rulebook = rulebook
        self._attempts = attempts
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._heartbeat_s = heartbeat_s
        self._under_way: dict[ModelCallId, Order] = {}
        self._decode = msgspec.json.Decoder(o.ModelOrder).decode

    async def run(self) -> None:
        """Until cancelled. Orders in flight are then left to their lease."""
        async with self._jobs.take(MODEL_LANE, self._max_in_flight) as orders, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._extend_leases())
            async for order in orders:
                tasks.create_task(self._serve(order))

    async def _extend_leases(self) -> None:
        """Heartbeats: what is carried out here is not handed to another worker."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            for order in list(self._under_way.values()):
                await order.extend()

    async def _serve(self, order: Order) -> None:
        try:
            wanted = self._decode(order.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _log.error("order_unreadable", size_bytes=len(order.body))
            await order.done()
            return
        if wanted.call_id in self._under_way:  # made again by the watch while it is carried out here
            await order.done()
            return
        self._under_way[wanted.call_id] = order
        try:
            await self._try(wanted, order)
        finally:
            del self._under_way[wanted.call_id]

    async def _try(self, wanted: o.ModelOrder, order: Order) -> None:
        """Whatever goes wrong with one order stays with it. One that is dropped here is made again by the watch."""
        try:
            wait_s = await self._fulfil(wanted, order)
        except (Unavailable, StreamMoved) as again:
            _log.warning("order_put_back", order=o.order_id(wanted), reason=str(again))
            await order.later(_pause_s(order))
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
            await (order.done() if wait_s is None else order.later(min(wait_s, MOST_WAIT_S)))

    async def _not_delivered(self, wanted: o.ModelOrder, order: Order, fault: str) -> None:
        """A few times more, by whoever takes it; then the run is told, if it can be."""
        if order.deliveries < MAX_DELIVERIES:
            await order.later(_pause_s(order))
            return
        run, now = StreamRef(wanted.tenant_id, "run", wanted.run_id), self._clock.now()
        reason = f"the order could not be carried out: {fault}"
        command = c.RefuseModelCall(call_id=wanted.call_id, by="route", code="undeliverable", reason=reason, now=now)
        try:
            await self._handler.handle(run, command, because(wanted, "undeliverable", SYSTEM))
        except FairleadError as refused:  # as unreadable as it was: the watch makes the order again
            _log.error("run_not_told", order=o.order_id(wanted), code=refused.code)
        await order.done()

    async def _fulfil(self, wanted: o.ModelOrder, order: Order) -> float | None:
        """Seconds after which it is worth looking again; None: it is done with."""
        if not await self._is_good(wanted):
            return None
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        state, tenant = await self._newest(run)
        call = _wanted_call(state, wanted)
        if call is None or not isinstance(state, Active):
            return None
        was_out_before = order.deliveries > 1 or wanted.remade
        if call.phase == "routed" and not was_out_before:
            return None  # somebody has it
        hold_to_models(wanted.capability, state.model_calls_used)
        self._rulebook.saw(tenant)
        asking = Asking(
            run,
            call.request,
            request_of(call.request),
            Actor(kind="agent", id=state.start.agent_principal_id),
            state=state,
            tenant=tenant,
            begun=True,
            lost=call.phase == "routed",
            appended=partial(self._appended, wanted.call_id),
        )
        return await self._carry_out(wanted, asking)

    async def _carry_out(self, wanted: o.ModelOrder, asking: Asking) -> float | None:
        try:
            while _goes_on(asking.newest, wanted.call_id, asking.lost):
                await self._attempt(asking)
        except Later as later:
            await self._attempts.hold(asking, later)
            return later.wait_s
        except Refused as refused:
            await self._attempts.refuse(asking, refused)
        except Stopped as stopped:
            await self._obey(wanted, asking, stopped)
        except MovedOn:
            pass
        return None

    async def _attempt(self, asking: Asking) -> None:
        """One, from the choice to what came of it."""
        sent = await self._attempts.send(asking)
        began = time.perf_counter()  # a duration, not a point in time
        try:
            answer = await self._attempts.ask(sent)
        except ModelFailed as failed:
            await self._attempts.broke_off(sent, failed, _us_since(began), waits=True)
        else:
            took_us = _us_since(began)
            if not await self._attempts.escalated(sent, answer, took_us):
                await self._attempts.answered(sent, answer, took_us)

    async def _obey(self, wanted: o.ModelOrder, asking: Asking, stopped: Stopped) -> None:
        stop = stopped.stop
        if stop.answer == "pause":
            suspend = c.SuspendRun(switch=stop.switch, reason=stop.reason, now=self._clock.now())
            await self._handler.handle(asking.run, suspend, because(wanted, "suspend", SYSTEM))
            return
        await self._attempts.refuse(asking, Refused("switch", f"switch.{stop.mode}", str(stopped)))

    async def _appended(self, call_id: ModelCallId, run: StreamRef, facts: Sequence[Any], state: RunState) -> None:
        """Whatever is owed after a fact, but for the next attempt of this call: it is made here."""
        owed = o.after(run.tenant_id, facts, state)
        ours = [each for each in owed if isinstance(each, o.ModelOrder) and each.call_id == call_id]
        await self._dispatch.send(run, [each for each in owed if each not in ours], state)

    async def _is_good(self, wanted: o.ModelOrder) -> bool:
        """Asked before anything else. A right ends with its run, which may not know yet. Raises NotEntitled."""
        try:
            self._capabilities.check(wanted)
        except Expired as expired:
            _log.warning("order_expired", order=o.order_id(wanted), reason=str(expired))
            now = self._clock.now()
            alarm = c.FireAlarm(alarm=c.Alarm(kind="deadline", key=wanted.run_id, due_at=now), now=now)
            run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
            await self._handler.handle(run, alarm, because(wanted, "expire", SYSTEM))
            return False
        return True

    async def _newest(self, run: StreamRef) -> tuple[RunState, TenantState]:
        tenant = StreamRef(run.tenant_id, "tenant", run.tenant_id)
        run_head, tenant_head = await self._log.heads([run, tenant])
        loaded = await self._handler.load(run, run_head)
        return loaded.state, (await self._handler.load(tenant, tenant_head)).state


def _wanted_call(state: RunState, wanted: o.ModelOrder) -> OpenModelCall | None:
    """The call, if the run waits for this attempt of it, or for the next: whoever had the order may have made this
    one, or have found no room for it."""
    if not isinstance(state, Active) or state.paused is not None:
        return None
    call = state.model_calls.get(wanted.call_id)
    if call is None or call.request.door != "run" or call.phase == "backing_off":
        return None
    due = call.attempt + (call.phase == "requested")
    return call if wanted.attempt in (call.attempt, due) else None


def _goes_on(state: RunState, call_id: ModelCallId, lost: bool) -> bool:
    """Whether an attempt may go out now."""
    if not isinstance(state, Active) or state.paused is not None or state.limit_reached is not None:
        return False
    call = state.model_calls.get(call_id)
    return call is not None and (call.phase == "requested" or lost)


def _us_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1_000_000)


def _pause_s(order: Order) -> float:
    """Doubles, and spreads over its half."""
    ceiling_s: float = 2 ** min(order.deliveries - 1, MAX_DOUBLINGS)
    return ceiling_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads orders, guards nothing
