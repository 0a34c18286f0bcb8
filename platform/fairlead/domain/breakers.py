"""A breaker: whether calls to one counterpart of one tenant are made at all. Its own stream for each.

It opens when calls fail too often, and lets one call through once it has cooled for a while: the probe. Who may make
that call is settled by the log, like everything that only one may do. How long somebody has waited is counted by each
process on its own steady clock from when it saw the fact, so clocks that differ open no door early.
"""

from typing import Annotated, Literal

from fairlead_tenants.ids import EnvironmentId
from msgspec import Meta, Struct

from fairlead.domain.envelope import Event
from fairlead.domain.errors import NotFound
from fairlead.domain.instant import Instant, later
from fairlead.domain.redaction import redact_text
from fairlead.domain.runs.events import ErrorClass

COOLING_S = 5.0  # after the first opening; doubles with each that follows
MAX_COOLING_S = 300.0
FORGET_S = 600.0  # closed for this long, it starts over with the shortest cooling
MAX_REASON = 500
MAX_DOUBLINGS = 16

Seconds = Annotated[float, Meta(ge=0)]


class BreakerOpened(Event, frozen=True, kw_only=True, tag="breaker.opened.v1", omit_defaults=True):
    """Calls wait: `failures` of the last `calls` found nobody to answer them, the last one with this class and code.

    `opening` numbers the openings of its life, `in_a_row` those that came soon after one another. After `cooling_s`,
    about `probe_at`, one call is let through.
    """

    environment_id: EnvironmentId
    connector: str
    opening: int
    in_a_row: int
    failures: int
    calls: int
    error_class: ErrorClass
    code: str
    cooling_s: float
    probe_at: Instant
    connection_id: str | None = None


class BreakerProbing(Event, frozen=True, kw_only=True, tag="breaker.probing.v1"):
    """One call is let through, by this worker; unless it reports within `lease_s`, another may try."""

    probe: int
    worker: str
    lease_s: float


class BreakerClosed(Event, frozen=True, kw_only=True, tag="breaker.closed.v1", omit_defaults=True):
    """Calls are made again: the probe was answered, or a person says so. Opening after `forget_at` counts from one."""

    by: Literal["probe", "person"]
    forget_at: Instant
    reason: str = ""


BreakerEvent = BreakerOpened | BreakerProbing | BreakerClosed


class TripBreaker(Struct, frozen=True, kw_only=True):
    """What one process has counted."""

    environment_id: EnvironmentId
    connector: str
    failures: int
    calls: int
    error_class: ErrorClass
    code: str
    now: Instant
    connection_id: str | None = None


class BeginProbe(Struct, frozen=True, kw_only=True):
    """Let me through: `waited_s` since I saw this opening, or since I saw probe `after` begin that never reported."""

    opening: int
    worker: str
    lease_s: Seconds
    waited_s: Seconds
    after: int = 0


class ReportProbe(Struct, frozen=True, kw_only=True):
    """How the probe ended. `failed` names class and code when nobody answered."""

    probe: int
    now: Instant
    failed: tuple[ErrorClass, str] | None = None


class ResetBreaker(Struct, frozen=True, kw_only=True):
    reason: str
    now: Instant


BreakerCommand = TripBreaker | BeginProbe | ReportProbe | ResetBreaker


class NoSuchBreaker(NotFound):
    """Nothing of this name has ever been opened."""

    code = "breaker_not_found"


class Closed(Struct, frozen=True, kw_only=True):
    """`in_a_row` counts no more after `forget_at`. `opening` and `probe` are the last of its life."""

    opening: int = 0
    in_a_row: int = 0
    probe: int = 0
    forget_at: Instant | None = None


class Open(Struct, frozen=True, kw_only=True):
    """`probe` is the number of the last probe that was begun, over all its life."""

    opened: BreakerOpened
    probe: int = 0


class HalfOpen(Struct, frozen=True, kw_only=True):
    opened: BreakerOpened
    probing: BreakerProbing


BreakerState = Closed | Open | HalfOpen


def breaker_id(environment_id: str, connector: str, connection_id: str | None) -> str:
    """One stream for each: `brk_main-github`, and with the connection where there is one."""
    place = environment_id.partition("_")[2] or environment_id
    return f"brk_{place}-{connector}" + (f"-{connection_id}" if connection_id else "")


def initial() -> BreakerState:
    return Closed()


def decide(command: BreakerCommand, state: BreakerState) -> list[BreakerEvent]:
    """Say what happens. No facts: somebody else was first, or there is nothing to do. Raises NoSuchBreaker."""
    match command, state:
        case TripBreaker(), Closed():
            return [_opened(command, state)]
        case BeginProbe(), Open() | HalfOpen() if _may_probe(command, state):
            number = (state.probe if isinstance(state, Open) else state.probing.probe) + 1
            return [BreakerProbing(probe=number, worker=command.worker, lease_s=command.lease_s)]
        case ReportProbe(probe=probe), HalfOpen() if probe == state.probing.probe:
            return [_probed(command, state.opened)]
        case ResetBreaker(), Open() | HalfOpen():
            reason = redact_text(command.reason)[:MAX_REASON]
            return [BreakerClosed(by="person", forget_at=command.now, reason=reason)]
        case ResetBreaker(), Closed(opening=0):
            raise NoSuchBreaker("no such breaker")
        case _:
            return []


def evolve(state: BreakerState, event: BreakerEvent) -> BreakerState:
    """Apply a fact."""
    match event, state:
        case BreakerOpened(), Closed(probe=probe) | HalfOpen(probing=BreakerProbing(probe=probe)):
            return Open(opened=event, probe=probe)
        case BreakerProbing(), Open(opened=opened) | HalfOpen(opened=opened):
            return HalfOpen(opened=opened, probing=event)
        case BreakerClosed(), Open(opened=opened, probe=probe) | HalfOpen(
            opened=opened, probing=BreakerProbing(probe=probe)
        ):
            return Closed(opening=opened.opening, in_a_row=opened.in_a_row, probe=probe, forget_at=event.forget_at)
    raise AssertionError(f"{type(event).__name__} cannot follow {type(state).__name__}")


def cooling_s(in_a_row: int) -> float:
    """Doubles with each opening in a row, up to MAX_COOLING_S."""
    return min(MAX_COOLING_S, COOLING_S * 2.0 ** min(in_a_row - 1, MAX_DOUBLINGS))


def _opened(command: TripBreaker, state: Closed) -> BreakerOpened:
    is_soon = state.forget_at is not None and command.now < state.forget_at
    in_a_row = state.in_a_row + 1 if is_soon else 1
    return BreakerOpened(
        environment_id=command.environment_id,
        connector=command.connector,
        connection_id=command.connection_id,
        opening=state.opening + 1,
        in_a_row=in_a_row,
        failures=command.failures,
        calls=command.calls,
        error_class=command.error_class,
        code=redact_text(command.code)[:100],
        cooling_s=cooling_s(in_a_row),
        probe_at=later(command.now, cooling_s(in_a_row)),
    )


def _may_probe(command: BeginProbe, state: Open | HalfOpen) -> bool:
    if command.opening != state.opened.opening:
        return False
    if isinstance(state, Open):
        return command.waited_s >= state.opened.cooling_s
    return command.after == state.probing.probe and command.waited_s >= state.probing.lease_s


def _probed(command: ReportProbe, opened: BreakerOpened) -> BreakerEvent:
    if command.failed is None:
        return BreakerClosed(by="probe", forget_at=later(command.now, FORGET_S))
    error_class, code = command.failed
    again = TripBreaker(
        environment_id=opened.environment_id,
        connector=opened.connector,
        connection_id=opened.connection_id,
        failures=1,
        calls=1,
        error_class=error_class,
        code=code,
        now=command.now,
    )
    before = Closed(opening=opened.opening, in_a_row=opened.in_a_row, forget_at=later(command.now, FORGET_S))
    return _opened(again, before)
