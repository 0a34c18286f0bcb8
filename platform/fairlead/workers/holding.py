"""What becomes of an order whose call may not be made yet: it goes back to the lane, and the timeline says why."""

import structlog

from fairlead.domain.connections.naming import connection_id
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import FairleadError
from fairlead.domain.instant import later
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.commands import CallSucceeded
from fairlead.domain.runs.states import Active, OpenCall
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.handler import Handler
from fairlead.ports import Clock, Order
from fairlead.workers.asking import because
from fairlead.workers.gates import Asked, PutBack

_log = structlog.get_logger()


def asked_for(run: StreamRef, state: Active, call: OpenCall, last: CallSucceeded | None) -> Asked:
    request = call.request
    return Asked(
        tenant_id=run.tenant_id,
        environment_id=state.start.environment_id,
        tool=request.tool,
        effect=request.effect,
        timeout_s=request.timeout_s,
        on_outage=request.on_outage,
        connection=_connection(run, state, request.connection),
        last=last,
    )


def _connection(run: StreamRef, state: Active, name: str) -> str:
    start = state.start
    return connection_id(run.tenant_id, start.workspace_id, start.environment_id, name) if name else ""


class Holding:
    def __init__(self, handler: Handler, dispatch: Dispatch, clock: Clock) -> None:
        self._handler = handler
        self._dispatch = dispatch
        self._clock = clock

    async def put_back(self, held: PutBack, wanted: o.Order, order: Order) -> None:
        """Never raises what one order could not be said of."""
        try:
            if isinstance(wanted, o.CallOrder):
                await self._say(held, wanted, order)
        except FairleadError as error:
            _log.warning("hold_not_recorded", order=o.order_id(wanted), reason=str(error))
        if order.deliveries:
            await order.later(held.wait_s)
        else:  # no lane has it yet
            await self._dispatch.send_again(wanted)

    async def _say(self, held: PutBack, wanted: o.CallOrder, order: Order) -> None:
        """Once for each attempt."""
        run = StreamRef(wanted.tenant_id, "run", wanted.run_id)
        call = self._call_of(run, wanted)
        if call is None or call.held is not None:
            return
        now = self._clock.now()
        hold = c.HoldCall(
            call_id=wanted.call_id,
            attempt=wanted.attempt,
            held_for=held.held_for,
            subject=held.subject,
            until=later(now, held.wait_s),
            untouched=order.deliveries <= 1 and not wanted.remade and call.phase == "dispatched",
            now=now,
        )
        await self._handler.handle(run, hold, because(wanted, "hold", SYSTEM))

    def _call_of(self, run: StreamRef, wanted: o.CallOrder) -> OpenCall | None:
        state = self._handler.kept(run)  # it has just been read to decide about the call
        return state.calls.get(wanted.call_id) if isinstance(state, Active) else None
