"""Orders that never see a lane: whoever recorded an outcome carries out the call that follows from it, at once.

A run of quick steps then costs one commit a step and no way through the queue and back. What is lost when the process
dies is made again by the watch, which comes no sooner than the call would have ended.
"""

import asyncio

from fairlead_sdk.contract import Effect, Idempotency

from fairlead.domain.runs.states import OpenCall
from fairlead.handling.dispatch import TOOL_LANE
from fairlead.ports import Jobs

MAX_TIMEOUT_S = 5.0  # half of the time after which the watch makes an order again


def may_be_kept(call: OpenCall) -> bool:
    """Quick, harmless to repeat under its key, and nobody's consent has to be compared with the world first."""
    request = call.request
    is_repeatable = request.effect is Effect.READ or request.idempotency is not Idempotency.NONE
    return is_repeatable and call.approval is None and request.timeout_s <= MAX_TIMEOUT_S


class KeptOrder:
    """`deliveries` is 0: no engine has handed it out. Put back, it goes through the lane like any other."""

    deliveries = 0

    def __init__(self, jobs: Jobs, tasks: asyncio.TaskGroup, tenant_id: str, order_id: str, body: bytes) -> None:
        self.body = body
        self._jobs = jobs
        self._tasks = tasks
        self._tenant_id = tenant_id
        self._order_id = order_id

    async def done(self) -> None:
        """Nobody else has it."""

    async def extend(self) -> None:
        """It has no lease."""

    async def later(self, delay_s: float) -> None:
        self._tasks.create_task(self._put_back(delay_s))

    async def _put_back(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._jobs.publish(TOOL_LANE, self._tenant_id, self._order_id, self.body)
