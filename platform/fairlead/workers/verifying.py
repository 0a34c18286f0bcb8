"""Reads back what a completed call wrote. A read is harmless, so an order that comes twice costs a second look."""

import asyncio
import time

from fairlead_sdk.errors import ToolError

from fairlead.domain.envelope import Actor, StreamRef
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.capabilities import hold_to
from fairlead.domain.runs.obligations import VerifyOrder
from fairlead.domain.runs.permit import forbidden
from fairlead.domain.runs.readback import as_recorded, difference
from fairlead.domain.runs.states import Active, OpenCall
from fairlead.domain.tenants.states import TenantState
from fairlead.handling.handler import Handler
from fairlead.ports import Clock
from fairlead.workers.asking import because
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Place, place_of

PAUSES_S = (0.2, 1.0)  # a counterpart may show a write a moment after it has taken it, or be busy


class Verifying:
    def __init__(self, handler: Handler, caller: Caller, clock: Clock, worker_id: str) -> None:
        self._handler = handler
        self._caller = caller
        self._clock = clock
        self._worker_id = worker_id

    async def verify(self, wanted: VerifyOrder, run: StreamRef, state: Active, tenant: TenantState) -> None:
        """`state` and `tenant` are as of now. Raises NotEntitled."""
        call = state.calls.get(wanted.call_id)
        if call is None or call.phase != "verifying":
            return
        hold_to(wanted.capability, call.request.tool, state.tool_calls_used)
        began = time.perf_counter()  # a duration, not a point in time
        seen: c.ReadBack | c.CannotTell
        if refused := forbidden(state, tenant):
            seen = c.CannotTell(reason=refused.reason)
        else:
            seen = await self._look(call, place_of(run.tenant_id, state))
        verdict = c.RecordVerdict(
            call_id=wanted.call_id,
            seen=seen,
            latency_us=round((time.perf_counter() - began) * 1_000_000),
            worker=self._worker_id,
            now=self._clock.now(),
        )
        agent = Actor(kind="agent", id=state.start.agent_principal_id)
        await self._handler.handle(run, verdict, because(wanted, "verdict", agent))

    async def _look(self, call: OpenCall, place: Place) -> c.ReadBack | c.CannotTell:
        """Again after a pause when it is not as it should be: only what stays so is a difference."""
        for pause_s in PAUSES_S:
            seen = await self._read(call, place)
            if isinstance(seen, c.ReadBack) and not difference(call.output, as_recorded(call, seen.found)):
                return seen
            await asyncio.sleep(pause_s)
        return await self._read(call, place)

    async def _read(self, call: OpenCall, place: Place) -> c.ReadBack | c.CannotTell:
        try:
            found = await self._caller.found(call, place)
        except TimeoutError:
            return c.CannotTell(reason=f"no answer within {call.request.timeout_s:g} s")
        except ToolError as error:
            return c.CannotTell(reason=str(error))
        return c.ReadBack(found=found.output if found else None)
