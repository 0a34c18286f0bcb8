"""What a door asks of the model desk, and what it is told. The desk counts, routes, records and settles; a door speaks
its wire and knows who is asking."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from fairlead.domain.envelope import Actor, Sequence, StreamRef
from fairlead.domain.errors import Rejected
from fairlead.domain.ids import ModelCallId
from fairlead.domain.models.answer import Delta, ModelAnswer
from fairlead.domain.models.asking import ModelCandidate
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.money import UsdMicros
from fairlead.domain.runs.events import AskedThrough, ModelRefusedBy, TokensUsed


class DoorCall(Struct, frozen=True, kw_only=True):
    """A call as it came through a door. It counts for `run`, which has begun, and goes to one of the route's models or
    the first of `candidates` that answers. The model that the request names says nothing to the desk.

    `call_id` is the door's to make, so that a call that is sent again under the same id is not made twice. `tools` are
    those that are offered, by their own names.
    """

    run: StreamRef
    call_id: ModelCallId
    door: AskedThrough
    actor: Actor
    request: ModelRequest
    route: str = ""
    candidates: tuple[ModelCandidate, ...] = ()
    tools: tuple[str, ...] = ()
    attempts: int = 3
    session: str = ""
    task_class: str = ""


class Told(Struct, frozen=True, kw_only=True):
    """What became of a call, for headers of the answer. `sequence` is where it is on the log."""

    call_id: ModelCallId
    provider: str
    model: str
    attempt: int
    cost_usd_micros: UsdMicros
    usage: TokensUsed | None
    sequence: Sequence
    route_version: int = 0
    cached: str = ""


class Answered(Struct, frozen=True, kw_only=True):
    """`answer` is as the provider gave it, and not redacted."""

    answer: ModelAnswer
    told: Told


class ModelRefused(Rejected):
    """Nothing was sent, or not again. `code` is that of the refusal on the run's timeline."""

    code = "model_call_refused"

    def __init__(self, by: ModelRefusedBy, code: str, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.by: ModelRefusedBy = by
        self.code = code
        self.retry_after_s = retry_after_s


class ModelCallUnderWay(Rejected):
    """The call was begun before and has no outcome yet: it is not made twice."""

    code = "model_call_under_way"


class DoorStream(Protocol):
    """An answer under way. Whoever stops listening has what was used until then settled."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...

    def __aiter__(self) -> AsyncIterator[Delta]:
        """The last piece, `Ended`, comes once the whole is on the log. Raises ModelFailed."""

    @property
    def told(self) -> Told | None:
        """None until the last piece."""


class ModelDoor(Protocol):
    """Both raise ModelRefused, ModelCallUnderWay; ModelFailed when no attempt gave an answer; RunNotActive,
    RunIsPaused, NoSuchRun, Unavailable."""

    async def ask(self, call: DoorCall) -> Answered: ...

    def stream(self, call: DoorCall) -> AbstractAsyncContextManager[DoorStream]:
        """Fails over until the first piece has come, and not after it."""
