"""Orders that never see a lane: whoever recorded an outcome carries out the call that follows from it, at once.

A run of quick steps then costs one commit a step and no way through the queue and back. What is lost when the process
dies is made again by the watch, which comes no sooner than the call would have ended.
"""

from collections.abc import Sequence
from typing import Any

from fairlead_sdk.contract import Effect, Idempotency

from fairlead.domain.runs.obligations import CallOrder, Owed
from fairlead.domain.runs.states import Active, OpenCall

MAX_TIMEOUT_S = 5.0  # half of the time after which the watch makes an order again


def kept_of(owed: Sequence[Owed], state: Any) -> CallOrder | None:
    """The only call that is owed, if it may be kept. Calls side by side are spread over all workers."""
    calls = [each for each in owed if isinstance(each, CallOrder)]
    if len(calls) != 1 or not isinstance(state, Active):
        return None
    return calls[0] if may_be_kept(state.calls[calls[0].call_id]) else None


def may_be_kept(call: OpenCall) -> bool:
    """Quick, harmless to repeat under its key, and nobody's consent has to be compared with the world first."""
    request = call.request
    is_repeatable = request.effect is Effect.READ or request.idempotency is not Idempotency.NONE
    return is_repeatable and call.approval is None and request.timeout_s <= MAX_TIMEOUT_S


class KeptOrder:
    """`deliveries` is 0: no engine has handed it out. Put back, it is left to the watch."""

    deliveries = 0
    body = b""

    async def done(self) -> None:
        """Nobody else has it."""

    async def extend(self) -> None:
        """It has no lease."""

    async def later(self, delay_s: float) -> None:
        """It is owed, so the watch finds it."""

    def park(self) -> None:
        """No lane counts it."""

    def unpark(self) -> None:
        """No lane counts it."""
