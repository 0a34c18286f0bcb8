"""What follows an append to a run: its orders go to the lanes, its alarms to the timers.

Both are hints. When the engine does not take one, the run watch makes it again from the run's state.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import ApprovalId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.commands import Alarm
from fairlead.domain.runs.obligations import Entitled, ModelOrder, Order, Owed, after, order_id
from fairlead.domain.runs.states import RunState
from fairlead.handling.capabilities import Capabilities
from fairlead.ports import Jobs, Timers

TOOL_LANE = "tool"
MODEL_LANE = "model"
_log = structlog.get_logger()


class RunAlarm(Struct, frozen=True, kw_only=True, tag_field="of", tag="run"):
    """What a timer carries for a run."""

    tenant_id: TenantId
    run_id: RunId
    alarm: Alarm


class ApprovalAlarm(Struct, frozen=True, kw_only=True, tag_field="of", tag="approval"):
    """What a timer carries for an approval: its deadline."""

    tenant_id: TenantId
    approval_id: ApprovalId
    due_at: Instant


def timer_id(run_id: str, alarm: Alarm) -> str:
    """One timer for one thing that is due; setting it again replaces it. A step's path can be too long for a name."""
    key = hashlib.sha256(alarm.key.encode()).hexdigest()[:32]
    return f"{run_id}-{alarm.kind}-{key}"


class Dispatch:
    def __init__(self, jobs: Jobs, timers: Timers, capabilities: Capabilities) -> None:
        self._jobs = jobs
        self._timers = timers
        self._capabilities = capabilities
        self._encode = msgspec.json.Encoder().encode

    async def run_appended(self, stream: StreamRef, facts: Sequence[Any], state: Any) -> None:
        await self.send(stream, after(stream.tenant_id, facts, state), state)

    async def send(self, run: StreamRef, owed: Iterable[Owed], state: RunState) -> None:
        """`state` is the one that they are owed to. A call's order gets the right to the call here."""
        for each in owed:
            try:
                if isinstance(each, Alarm):
                    await self._set_alarm(run.tenant_id, RunId(run.id), each)
                else:
                    await self._order(run.tenant_id, await self._entitled(run, each, state))
            except Unavailable as unavailable:
                _log.warning("order_not_sent", tenant_id=run.tenant_id, run_id=run.id, reason=str(unavailable))

    async def send_again(self, order: Order) -> None:
        """One that was made before, as it is."""
        try:
            await self._order(order.tenant_id, order)
        except Unavailable as unavailable:
            _log.warning("order_not_sent", tenant_id=order.tenant_id, run_id=order.run_id, reason=str(unavailable))

    async def _entitled(self, run: StreamRef, order: Order, state: RunState) -> Order:
        return await self._capabilities.entitled(run, order, state) if isinstance(order, Entitled) else order

    async def approval_deadline(self, alarm: ApprovalAlarm) -> None:
        """Raises Unavailable: an approval without its deadline must not be taken for asked."""
        await self._timers.set(alarm.tenant_id, alarm.approval_id, alarm.due_at, self._encode(alarm))

    async def _order(self, tenant_id: TenantId, order: Order) -> None:
        lane = MODEL_LANE if isinstance(order, ModelOrder) else TOOL_LANE
        await self._jobs.publish(lane, tenant_id, order_id(order), self._encode(order))

    async def _set_alarm(self, tenant_id: TenantId, run_id: RunId, alarm: Alarm) -> None:
        body = self._encode(RunAlarm(tenant_id=tenant_id, run_id=run_id, alarm=alarm))
        await self._timers.set(tenant_id, timer_id(run_id, alarm), alarm.due_at, body)
