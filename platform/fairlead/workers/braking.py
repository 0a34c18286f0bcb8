"""What a worker does about switches: looks before it decides about a call, and takes back what it had only begun."""

import random

from fairlead_sdk.contract import Idempotency

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.instant import Instant, later
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.obligations import CallOrder
from fairlead.domain.runs.permit import Suspend, Wait
from fairlead.domain.runs.states import Active, OpenCall
from fairlead.domain.switches.verdict import Stop
from fairlead.handling.handler import Handler
from fairlead.handling.switching import Brake, SwitchesUnknown
from fairlead.ports import Clock
from fairlead.workers.asking import because
from fairlead.workers.equipping import Braked, where_of
from fairlead.workers.gates import PutBack

UNKNOWN_S = 0.5
STOPPED_S = 5.0  # how often what may neither be made nor denied is looked at again


def held_by(subject: str) -> PutBack:
    wait_s = UNKNOWN_S if subject == SwitchesUnknown.code else STOPPED_S
    return PutBack(wait_s * random.uniform(1.0, 1.5), "switch", subject)  # noqa: S311  # spreads orders, guards nothing


class Braking:
    def __init__(self, brake: Brake, handler: Handler, clock: Clock) -> None:
        self._brake = brake
        self._handler = handler
        self._clock = clock

    def stop_of(self, run: StreamRef, state: Active, wanted: CallOrder) -> Stop | None:
        """Raises PutBack while nothing is known."""
        call = state.calls.get(wanted.call_id)
        if call is None:
            return None
        try:
            return self._brake.stop_of("call", call.request.effect, where_of(run.tenant_id, state, call.request.tool))
        except SwitchesUnknown as unknown:
            raise held_by(unknown.code) from unknown

    async def obey(self, run: StreamRef, wanted: CallOrder, stopped: Wait | Suspend) -> None:
        """Raises PutBack."""
        if isinstance(stopped, Wait):
            raise held_by(stopped.switch)
        now = self._clock.now()
        hold = _hold(wanted, stopped.switch, now) if stopped.untouched else None
        command = c.SuspendRun(switch=stopped.switch, reason=stopped.reason, hold=hold, now=now)
        await self._handler.handle(run, command, because(wanted, "suspend", SYSTEM))

    async def take_back(
        self, run: StreamRef, wanted: CallOrder, call: OpenCall, braked: Braked, lost_answer: bool
    ) -> None:
        """A call that was marked as begun was not: without that, its mark would read as an outcome that was lost."""
        if not lost_answer and call.phase == "dispatched" and _tells_by_mark(call):
            hold = _hold(wanted, braked.subject, self._clock.now())
            await self._handler.handle(run, hold, because(wanted, f"unmark-{hold.now.timestamp():.3f}", SYSTEM))


def _tells_by_mark(call: OpenCall) -> bool:
    """Whether nobody can have made it who did not mark it first."""
    was_held_before = call.held is not None and call.held.untouched
    return call.request.idempotency is Idempotency.NONE or call.approval is not None or was_held_before


def _hold(wanted: CallOrder, switch: str, now: Instant) -> c.HoldCall:
    return c.HoldCall(
        call_id=wanted.call_id,
        attempt=wanted.attempt,
        held_for="switch",
        subject=switch,
        until=later(now, STOPPED_S),
        untouched=True,
        now=now,
    )
