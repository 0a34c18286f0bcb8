"""Takes due timers and tells the run or approval that the time has come. A stale alarm changes nothing."""

import asyncio
from datetime import datetime

import msgspec
import structlog

from fairlead.domain.approvals import ExpireApproval, Pending
from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.runs.commands import FireAlarm
from fairlead.handling.dispatch import ApprovalAlarm, RunAlarm, timer_id
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Clock, Order, Timers

MAX_IN_FLIGHT = 64
RETRY_S = 1.0
UNREADABLE_RETRY_S = 60.0
_log = structlog.get_logger()


class AlarmWorker:
    def __init__(self, timers: Timers, handler: Handler, clock: Clock) -> None:
        self._timers = timers
        self._handler = handler
        self._clock = clock
        self._decode = msgspec.json.Decoder(RunAlarm | ApprovalAlarm).decode

    async def run(self) -> None:
        async with self._timers.due(MAX_IN_FLIGHT) as alarms, asyncio.TaskGroup() as tasks:
            async for alarm in alarms:
                tasks.create_task(self._serve(alarm))

    async def _serve(self, order: Order) -> None:
        try:
            await self._ring(self._decode(order.body), order)
        except (Unavailable, StreamMoved) as again:
            _log.warning("alarm_put_back", reason=str(again))
            await order.later(RETRY_S)
        except UnreadableCommit as unreadable:  # a newer program can, or this one once it is mended
            _log.error("alarm_put_back", reason=str(unreadable))
            await order.later(UNREADABLE_RETRY_S)
        except (FairleadError, msgspec.DecodeError) as refused:
            _log.warning("alarm_refused", reason=str(refused))
            await order.done()
        except Exception as error:  # noqa: BLE001  # a fault of ours must cost this alarm only; the watch makes it again
            _log.error("alarm_failed", exc_info=error)
            await order.done()

    async def _ring(self, alarm: RunAlarm | ApprovalAlarm, order: Order) -> None:
        now = self._clock.now()
        due_at = alarm.alarm.due_at if isinstance(alarm, RunAlarm) else alarm.due_at
        if now < due_at:  # the engine's clock is ahead of ours
            await order.later((due_at - now).total_seconds())
            return
        await self._tell(alarm, now)
        await order.done()

    async def _tell(self, alarm: RunAlarm | ApprovalAlarm, now: datetime) -> None:
        match alarm:
            case RunAlarm(tenant_id=tenant_id, run_id=run_id):
                stream = StreamRef(tenant_id, "run", run_id)
                cause = _cause(f"{timer_id(run_id, alarm.alarm)}.{alarm.alarm.due_at.timestamp()}", run_id)
                await self._handler.handle(stream, FireAlarm(alarm=alarm.alarm, now=now), cause)
            case ApprovalAlarm(tenant_id=tenant_id, approval_id=approval_id):
                stream = StreamRef(tenant_id, "approval", approval_id)
                cause = _cause(f"{approval_id}.{alarm.due_at.timestamp()}", approval_id)
                handled = await self._handler.handle(stream, ExpireApproval(now=now), cause)
                if isinstance(handled.state, Pending):  # it was escalated: what comes next is due later
                    again = ApprovalAlarm(tenant_id=tenant_id, approval_id=approval_id, due_at=handled.state.due_at)
                    await self._timers.set(tenant_id, approval_id, again.due_at, msgspec.json.encode(again))


def _cause(what: str, correlation_id: str) -> Cause:
    return Cause(actor=SYSTEM, command_id=CommandId(f"cmd_alarm.{what}"), correlation_id=correlation_id)
