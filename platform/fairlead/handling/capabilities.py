"""Gives orders the right to their calls, and finds out whether an order has it.

A right is made from the run itself: its tools, its limits, its deadline. It is marked with a keyed hash, so a worker
believes an order only if some process of this installation made it for this very run.
"""

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.capabilities import Capability, NotEntitled
from fairlead.domain.runs.obligations import Entitled
from fairlead.domain.runs.states import Active, Ended, RunState
from fairlead.handling.rulebook import Rulebook
from fairlead.ports import Clock

AFTER_THE_END = timedelta(days=1)  # to undo what a run did; made anew with each order
KEPT_RIGHTS = 4096
_PERSON = b"fairlead-right-1"  # what the key marks here, it marks nowhere else
_MARK_BYTES = 32
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()

Order = TypeVar("Order", bound=Entitled)


class UnknownKey(NotEntitled):
    """Another process of this installation has a key that this one has not."""

    code = "capability_key_unknown"


class Expired(NotEntitled):
    """It was the right, once."""

    code = "capability_expired"


class MarkKey(Struct, frozen=True):
    key_id: str
    body: bytes

    def __repr__(self) -> str:
        return f"MarkKey({self.key_id!r})"


class Capabilities:
    """The first of `keys` marks; all of them are believed."""

    def __init__(self, keys: Sequence[MarkKey], rulebook: Rulebook, clock: Clock) -> None:
        self._current = keys[0]
        self._bodies = {key.key_id: key.body for key in keys}
        self._rulebook = rulebook
        self._clock = clock
        self._made: OrderedDict[StreamRef, Capability] = OrderedDict()

    async def entitled(self, run: StreamRef, order: Order, state: RunState) -> Order:
        """The same order with the right to its call. Raises Unavailable."""
        return replace(order, capability=await self._right(run, state))

    def check(self, order: Entitled) -> None:
        """Whether it was made for the order's run, and is still good. Raises NotEntitled, UnknownKey, Expired."""
        right = order.capability
        if right is None:
            raise NotEntitled("the order carries no right")
        if (right.tenant_id, right.run_id) != (order.tenant_id, order.run_id):
            raise NotEntitled("the right is another run's")
        if (body := self._bodies.get(right.key_id)) is None:
            raise UnknownKey(f"it was marked with the key {right.key_id[:32]}, which this process has not")
        if not self._never_left(right) and not hmac.compare_digest(_mark(right, body).encode(), right.mark.encode()):
            raise NotEntitled("the right was altered")
        if self._clock.now() >= right.expires_at:
            raise Expired("the right has expired")

    def _never_left(self, right: Capability) -> bool:
        """Whether it is the very object that was marked here: nobody can have altered it."""
        return self._made.get(StreamRef(right.tenant_id, "run", right.run_id)) is right

    async def _right(self, run: StreamRef, state: RunState) -> Capability:
        active = state.last if isinstance(state, Ended) else state
        assert isinstance(active, Active), "what has not begun is owed nothing"
        expires_at = active.deadline_at
        if isinstance(state, Ended):
            expires_at = max(expires_at, self._clock.now() + AFTER_THE_END)
        made = self._made.get(run)
        given = (active.limits.tool_calls, active.limits.model_calls, expires_at)
        if made is None or (made.max_calls, made.max_model_calls, made.expires_at) != given:
            made = self._made[run] = self._marked(run, active, await self._tools(run, active), expires_at)
            if len(self._made) > KEPT_RIGHTS:
                self._made.popitem(last=False)
        return made

    async def _tools(self, run: StreamRef, state: Active) -> tuple[str, ...]:
        """None where nobody can read the workflow: whoever takes the order finds that out, and tells the run."""
        try:
            workflow = StreamRef(run.tenant_id, "workflow", WorkflowId(state.start.workflow_id))
            return (await self._rulebook.of_version(workflow, state.start.workflow_version)).workflow.tools
        except Unavailable:
            raise
        except FairleadError as unreadable:
            _log.warning("run_without_rules", tenant_id=run.tenant_id, run_id=run.id, code=unreadable.code)
            return ()

    def _marked(self, run: StreamRef, state: Active, tools: tuple[str, ...], expires_at: Instant) -> Capability:
        right = Capability(
            tenant_id=run.tenant_id,
            run_id=RunId(run.id),
            tools=tools,
            max_calls=state.limits.tool_calls,
            max_model_calls=state.limits.model_calls,
            expires_at=expires_at,
        )
        return marked(right, self._current)


def marked(right: Capability, key: MarkKey) -> Capability:
    """The same right, believed by whoever has the key."""
    named = replace(right, key_id=key.key_id)
    return replace(named, mark=_mark(named, key.body))


def _mark(right: Capability, key: bytes) -> str:
    """Over everything else that it says."""
    said = _encode(
        (
            right.tenant_id,
            right.run_id,
            right.tools,
            right.max_calls,
            right.max_model_calls,
            right.expires_at.timestamp(),
            right.key_id,
        )
    )
    return blake2b(said, key=key, digest_size=_MARK_BYTES, person=_PERSON).hexdigest()
