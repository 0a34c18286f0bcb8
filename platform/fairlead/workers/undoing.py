"""Undoes a call of a run that has ended. Asked again under the same key, it does no further harm."""

import time

from fairlead.domain.envelope import Actor, StreamRef
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.advance import RunRules
from fairlead.domain.runs.capabilities import hold_to
from fairlead.domain.runs.obligations import UndoOrder
from fairlead.domain.runs.permit import Drop, Forbid, permit_undo
from fairlead.domain.runs.states import Ended
from fairlead.domain.runs.undoing import Undo
from fairlead.domain.tenants.states import TenantState
from fairlead.handling.handler import Handler
from fairlead.ports import Clock
from fairlead.workers.asking import because
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import place_of


class Undoing:
    def __init__(self, handler: Handler, caller: Caller, clock: Clock, worker_id: str) -> None:
        self._handler = handler
        self._caller = caller
        self._clock = clock
        self._worker_id = worker_id

    async def undo(self, wanted: UndoOrder, run: StreamRef, state: Ended, tenant: TenantState, rules: RunRules) -> None:
        """`state` and `tenant` are as of now. Raises NotEntitled."""
        began = time.perf_counter()  # a duration, not a point in time
        outcome: c.Undone | c.CallErred
        match permit_undo(wanted, state, tenant, rules):
            case Drop():
                return
            case Forbid(by=by, rule_id=rule_id, reason=reason):
                outcome = c.CallErred(
                    error_class="permission" if by == "permission" else "policy", code=rule_id, message=reason
                )
            case Undo() as undo:
                hold_to(wanted.capability, undo.effect.request.tool, state.last.tool_calls_used)
                outcome = await self._caller.undo(undo, place_of(run.tenant_id, state.last))
        report = c.RecordUndo(
            call_id=wanted.call_id,
            attempt=wanted.attempt,
            outcome=outcome,
            latency_us=round((time.perf_counter() - began) * 1_000_000),
            worker=self._worker_id,
            now=self._clock.now(),
        )
        agent = Actor(kind="agent", id=state.last.start.agent_principal_id)
        await self._handler.handle(run, report, because(wanted, "undone", agent))
