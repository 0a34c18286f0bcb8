"""One model call as a process carries it through, what it meets on its way, and why it may not be sent."""

from collections.abc import Sequence
from typing import Protocol

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.budgets.amounts import Amount
from fairlead.domain.envelope import Actor, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.routing.asking import Choice, NoRoute, Route, Tried, Wanted
from fairlead.domain.routing.document import RouteDocument
from fairlead.domain.runs import events as e
from fairlead.domain.runs.states import Active, OpenModelCall, RunState
from fairlead.domain.switches.verdict import Stop
from fairlead.domain.tenants.states import TenantState
from fairlead.handling.answer_cache import Hit, Recalled
from fairlead.handling.budget_desk import Reserved
from fairlead.handling.handler import Appended
from fairlead.handling.model_entrance import Ended
from fairlead.handling.model_router import Taken


class Router(Protocol):
    """Chooses models, and keeps the places of those who ask them. `route` is the name of a tenant's, or one that a
    workflow brings along."""

    async def choose(
        self, tenant_id: TenantId, route: str | RouteDocument, wanted: Wanted, tried: Sequence[Tried] = ()
    ) -> Choice | NoRoute: ...

    async def take(
        self, tenant_id: TenantId, route: str | RouteDocument, wanted: Wanted, tried: Sequence[Tried] = ()
    ) -> Taken | NoRoute: ...

    async def route(self, tenant_id: TenantId, name: str) -> Route | None: ...

    async def ended(self, taken: Taken, ended: Ended | None) -> None: ...


class Refused(Exception):
    """Nothing is sent, and nothing will be."""

    def __init__(self, by: e.ModelRefusedBy, code: str, reason: str) -> None:
        super().__init__(reason)
        self.by: e.ModelRefusedBy = by
        self.code = code


class Later(Exception):
    """Nothing is sent now; it is worth asking again after `wait_s`."""

    def __init__(self, held_for: e.ModelHeldFor, subject: str, wait_s: float, code: str) -> None:
        super().__init__(f"{held_for}: {subject}")
        self.held_for: e.ModelHeldFor = held_for
        self.subject = subject
        self.wait_s = wait_s
        self.code = code


class Stopped(Exception):
    """A switch is on."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(f"{stop.switch} is switched off: {stop.reason}")
        self.stop = stop


class MovedOn(Exception):
    """The run does not want this attempt any more. `state` is the newest."""

    def __init__(self, state: RunState) -> None:
        super().__init__("the run has moved on")
        self.state = state


class Asking:
    """One call, as one process carries it through. `begun`: it is requested on the log; else the first attempt says
    that too. `request` is what is sent, which is redacted only on the log."""

    def __init__(
        self,
        run: StreamRef,
        requested: e.ModelCallRequested,
        request: ModelRequest,
        actor: Actor,
        *,
        state: Active,
        tenant: TenantState,
        begun: bool,
        appended: Appended | None = None,
        task_class: str = "",
        lost: bool = False,
    ) -> None:
        self.run = run
        self.requested = requested
        self.request = request
        self.actor = actor
        self.state = state
        self.newest: RunState = state  # the same, while the run is under way
        self.tenant = tenant
        self.begun = begun
        self.appended = appended
        self.task_class = task_class
        self.lost = lost
        self.most_usd_micros: int | None = None  # where a budget says to go on with a cheaper model

    @property
    def call(self) -> OpenModelCall | None:
        return self.state.model_calls.get(self.requested.call_id)

    @property
    def failed(self) -> tuple[e.ModelCallAttemptFailed, ...]:
        return self.call.failed if self.call is not None else ()

    @property
    def attempt(self) -> int:
        """The number of the next."""
        return (self.call.attempt if self.call is not None else 0) + 1


class Sent(Struct, frozen=True, kw_only=True):
    """An attempt that is on the log and reserved, and may go out now. `recalled`: what is known of an answer that was
    kept, and how this one is to be."""

    asking: Asking
    routed: e.ModelCallRouted
    taken: Taken
    bound: Amount
    reserved: Reserved | None
    sequence: LogSequence
    recalled: Recalled | None = None

    @property
    def hit(self) -> Hit | None:
        """The answer, which nobody is asked for."""
        return self.recalled.hit if self.recalled is not None else None
