"""For how long a tenant keeps what, and what a legal hold keeps whatever its age. One stream per tenant.

What is made shorter counts only after a while, so that nobody loses by a slip what cannot be brought back.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, assert_never

from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct, field
from msgspec.structs import replace

from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import FairleadError, Invalid, NotFound, Problem, Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact_text

Days = Literal[30, 90, 365]

GRACE = timedelta(days=7)
MOST_HOLDS = 500  # open ones
MOST_LABELS = 10
MAX_REASON = 500
MAX_LABEL = 200
LEDGER_YEARS = (1, 7)


class Settings(Struct, frozen=True, kw_only=True):
    """`runs_days` after its end the content of a run goes, `access_days` after it was made the record of an access;
    `objects_days` after it was written an object of the store, never without. The ledger's leaves stay for years."""

    runs_days: Days = 365
    access_days: Days = 365
    objects_days: Days | None = None
    ledger_years: int = 7


class RetentionChanged(Event, frozen=True, kw_only=True, tag="retention.changed.v1", omit_defaults=True):
    """Counts from `counts_from` on. Until then whatever is longer does, of this and of what counted before."""

    version: int
    runs_days: Days
    access_days: Days
    ledger_years: int
    counts_from: Instant
    changed_by: PrincipalId
    changed_at: Instant
    reason: str
    objects_days: Days | None = None

    @property
    def settings(self) -> Settings:
        return Settings(
            runs_days=self.runs_days,
            access_days=self.access_days,
            objects_days=self.objects_days,
            ledger_years=self.ledger_years,
        )


class HoldPlaced(Event, frozen=True, kw_only=True, tag="retention.hold_placed.v1", omit_defaults=True):
    """Nothing that it names is removed until it is released: one run, or all with these labels, or else everything."""

    hold_id: str
    reason: str
    placed_by: PrincipalId
    placed_at: Instant
    run_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)


class HoldReleased(Event, frozen=True, kw_only=True, tag="retention.hold_released.v1"):
    """What it kept is removed as its age says."""

    hold_id: str
    reason: str


RetentionEvent = RetentionChanged | HoldPlaced | HoldReleased


class ChangeRetention(Struct, frozen=True, kw_only=True):
    """`expected_version` is the one that was seen; None for any."""

    settings: Settings
    reason: str
    by: PrincipalId
    now: Instant
    expected_version: int | None = None


class PlaceHold(Struct, frozen=True, kw_only=True):
    hold_id: str
    reason: str
    by: PrincipalId
    now: Instant
    run_id: str | None = None
    labels: Mapping[str, str] = {}


class ReleaseHold(Struct, frozen=True, kw_only=True):
    hold_id: str
    reason: str


RetentionCommand = ChangeRetention | PlaceHold | ReleaseHold


class RetentionMoved(FairleadError):
    """Somebody changed it since it was read: the version is another."""

    code = "retention_moved"


class NoSuchHold(NotFound):
    """No hold of this id is open."""

    code = "hold_not_found"


class TooManyHolds(Rejected):
    """So many holds are open that no more can be: use one for a label, or release some."""

    code = "too_many_holds"


class Retention(Struct, frozen=True, kw_only=True):
    """`before` counts beside `settings` until `counts_from`. `holds` are open."""

    settings: Settings = Settings()
    before: Settings = Settings()
    last: RetentionChanged | None = None
    holds: Mapping[str, HoldPlaced] = {}

    @property
    def version(self) -> int:
        return self.last.version if self.last else 0

    def at(self, now: Instant) -> Settings:
        """What counts at that time."""
        if self.last is None or now >= self.last.counts_from:
            return self.settings
        return longer(self.settings, self.before)

    def holds_on(self, run_id: str, labels: Mapping[str, str]) -> tuple[HoldPlaced, ...]:
        """Those that keep this run."""
        return tuple(hold for hold in self.holds.values() if names(hold, run_id, labels))

    @property
    def holds_everything(self) -> bool:
        return any(hold.run_id is None and not hold.labels for hold in self.holds.values())


def names(hold: HoldPlaced, run_id: str, labels: Mapping[str, str]) -> bool:
    if hold.run_id is not None:
        return hold.run_id == run_id
    return all(labels.get(key) == value for key, value in hold.labels.items())


def longer(one: Settings, other: Settings) -> Settings:
    """Of each, what keeps for longer."""
    days = (one.objects_days, other.objects_days)
    return Settings(
        runs_days=max(one.runs_days, other.runs_days),
        access_days=max(one.access_days, other.access_days),
        objects_days=None if None in days else max(day for day in days if day is not None),
        ledger_years=max(one.ledger_years, other.ledger_years),
    )


def stream_of(tenant_id: TenantId) -> StreamRef:
    return StreamRef(tenant_id, "retention", tenant_id)


def initial() -> Retention:
    return Retention()


def decide(command: RetentionCommand, state: Retention) -> list[RetentionEvent]:
    """Raises RetentionMoved, NoSuchHold, TooManyHolds, Invalid."""
    match command:
        case ChangeRetention():
            return _changed(command, state)
        case PlaceHold():
            return _placed(command, state)
        case ReleaseHold(hold_id=hold_id, reason=reason):
            if hold_id not in state.holds:
                raise NoSuchHold("no such hold is open")
            return [HoldReleased(hold_id=hold_id, reason=redact_text(reason))]
        case _:
            assert_never(command)


def _changed(command: ChangeRetention, state: Retention) -> list[RetentionEvent]:
    if command.expected_version not in (None, state.version):
        raise RetentionMoved(f"the newest version is {state.version}")
    wanted, now = command.settings, command.now
    least, most = LEDGER_YEARS
    if not least <= wanted.ledger_years <= most:
        problem = Problem(path="/ledger_years", message=f"must be from {least} to {most}")
        raise Invalid([problem], "a ledger is kept for a year at least")
    if wanted == state.settings:
        return []
    is_shorter = longer(wanted, state.at(now)) != wanted
    return [
        RetentionChanged(
            version=state.version + 1,
            runs_days=wanted.runs_days,
            access_days=wanted.access_days,
            objects_days=wanted.objects_days,
            ledger_years=wanted.ledger_years,
            counts_from=now + GRACE if is_shorter else now,
            changed_by=command.by,
            changed_at=now,
            reason=redact_text(command.reason),
        )
    ]


def _placed(command: PlaceHold, state: Retention) -> list[RetentionEvent]:
    if command.hold_id in state.holds:
        return []
    if command.run_id is not None and command.labels:
        raise Invalid([Problem(path="/labels", message="a hold names a run or labels, not both")])
    if len(state.holds) >= MOST_HOLDS:
        raise TooManyHolds(f"{MOST_HOLDS} holds are open")
    return [
        HoldPlaced(
            hold_id=command.hold_id,
            reason=redact_text(command.reason),
            placed_by=command.by,
            placed_at=command.now,
            run_id=command.run_id,
            labels=dict(command.labels),
        )
    ]


def evolve(state: Retention, event: RetentionEvent) -> Retention:
    match event:
        case RetentionChanged():
            return replace(state, settings=event.settings, before=state.at(event.changed_at), last=event)
        case HoldPlaced():
            return replace(state, holds={**state.holds, event.hold_id: event})
        case HoldReleased(hold_id=hold_id):
            left: dict[str, Any] = {key: hold for key, hold in state.holds.items() if key != hold_id}
            return replace(state, holds=left)
        case _:
            assert_never(event)
