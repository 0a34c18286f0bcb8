"""What is asked of a route, and what it answers: a model with reasons, or why there is none."""

from collections.abc import Mapping
from typing import Literal

from fairlead_sdk.models import Ability
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Struct

from fairlead.domain.models.failures import FailureClass
from fairlead.domain.money import UsdMicros
from fairlead.domain.prices import Priced
from fairlead.domain.routing.document import Caching, Cause, RouteDocument

BYTES_PER_TOKEN = 4  # of usual text; a bound is reckoned with one
OUTPUT_TOKENS = 4_096  # where nobody says how long an answer may be

RefusedBy = Literal["residency", "price", "budget", "limit", "route"]
Unit = Literal["", "percent", "ms", "s", "usd_micros", "tokens", "calls", "tier", "version"]


class Reason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is permanent. The figure that spoke, the one it was held against, or a name."""

    code: str
    value: int | None = None
    bound: int | None = None
    unit: Unit = ""
    word: str = ""


class PassedOver(Struct, frozen=True, kw_only=True):
    candidate: str
    because: Reason


class Route(Struct, frozen=True, kw_only=True):
    """`shares` are those of candidates that are being rolled out, in percent, where they are past the first stage.
    `forgotten` counts how often answers that were kept were forgotten."""

    name: str
    version: int
    document: RouteDocument
    shares: Mapping[str, int] = {}
    forgotten: int = 0


class Wanted(Struct, frozen=True, kw_only=True):
    """A call of a model, and where it is made. `call_id` draws the lot where nothing is sticky; `run` … `workflow` are
    what may be stuck to.

    `escalations` are what went wrong so far in this step, one for each time that the caller was not content;
    `tool_errors` is how many calls of tools have failed in a row before it.
    `budget_left_usd_micros` None: no cap.
    """

    call_id: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    task_class: str = ""
    abilities: frozenset[Ability] = frozenset()
    input_size_bytes: int = 0
    max_output_tokens: int | None = None
    budget_left_usd_micros: int | None = None
    escalations: tuple[Cause, ...] = ()
    tool_errors: int = 0
    run: str = ""
    session: str = ""
    principal: str = ""
    workflow: str = ""

    @property
    def input_tokens(self) -> int:
        """About."""
        return self.input_size_bytes // BYTES_PER_TOKEN


class Tried(Struct, frozen=True, kw_only=True):
    """An attempt of this call that failed."""

    candidate: str
    error_class: FailureClass


class Choice(Struct, frozen=True, kw_only=True):
    """`region` names every region in which it may be read, `+` between them; empty: nobody says, and nobody asked.

    `reserve_usd_micros` is the most that the call can cost by `priced`; `max_output_tokens` is what that is reckoned
    with, and has to be what is asked for. `probe`: its breaker lets this one call through, and waits for what becomes
    of it.
    """

    route: str
    route_version: int
    candidate: str
    provider: str
    model: str
    connection: str | None
    region: str
    tier: int
    attempt: int
    priced: Priced
    max_output_tokens: int
    reserve_usd_micros: UsdMicros
    why: tuple[Reason, ...]
    passed_over: tuple[PassedOver, ...]
    cache: Caching
    max_attempts: int
    probe: bool = False


class NoRoute(Struct, frozen=True, kw_only=True):
    """Nothing may be sent. `retry_after_s` only where waiting helps."""

    by: RefusedBy
    code: str
    reason: str
    route: str
    route_version: int = 0
    passed_over: tuple[PassedOver, ...] = ()
    retry_after_s: float | None = None
