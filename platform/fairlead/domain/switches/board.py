"""All switches of one holder: a tenant's own, or those of the installation. One stream for each holder.

A switch is on for one target and says in which ways that is stopped. Setting it again replaces what it said.
"""

import re
from collections.abc import Mapping
from typing import Literal, get_args

from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import Denied, Invalid, NotFound, Problem, Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact_text

MAX_ON = 200
MAX_REASON = 500
MAX_NAME = 200
_PATTERNS = {
    "connector": re.compile(r"[a-z][a-z0-9_]{0,31}"),
    "tool": re.compile(r"[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]*"),
}

Mode = Literal["stop_starts", "pause_runs", "deny_writes", "deny_all"]
Scope = Literal["installation", "tenant", "environment", "workspace", "workflow", "connector", "tool"]
MODES: tuple[Mode, ...] = get_args(Mode)
SCOPES: tuple[Scope, ...] = get_args(Scope)
OF_INSTALLATION: frozenset[Scope] = frozenset({"installation", "tenant", "connector", "tool"})
OF_TENANT: frozenset[Scope] = frozenset(SCOPES) - {"installation"}
NAMELESS: frozenset[Scope] = frozenset({"installation"})


class Target(Struct, frozen=True):
    """What is switched: `name` is its id, or the name of a connector or tool; empty for the whole installation."""

    scope: Scope
    name: str = ""

    @property
    def id(self) -> str:
        """`workflow:wfl_…`, `connector:github`, `installation`."""
        return f"{self.scope}:{self.name}" if self.name else self.scope


class SwitchSet(Event, frozen=True, kw_only=True, tag="switch.set.v1", omit_defaults=True):
    """From here on nothing of the kinds in `modes` happens within the target, until it is released or `expires_at`.

    It replaces what was set for this target before.
    """

    target: Target
    modes: tuple[Mode, ...]
    reason: str
    set_by: PrincipalId
    set_at: Instant
    expires_at: Instant | None = None


class SwitchReleased(Event, frozen=True, kw_only=True, tag="switch.released.v1", omit_defaults=True):
    """The target goes on: somebody says so, or its time has come."""

    target: Target
    by: Literal["principal", "time"]
    reason: str = ""


class SwitchDrilled(Event, frozen=True, kw_only=True, tag="switch.drilled.v1"):
    """How long it took from the switch, set at `set_at`, to the beginning of the last call that it should have stopped.

    `last_effect_ms` is 0 when none began after it. `calls_before` of the `load_s` before say that there was a load;
    `calls_after` began later than the switch, and were watched for until `quiet_s` passed without one.
    """

    target: Target
    modes: tuple[Mode, ...]
    set_at: Instant
    last_effect_ms: float
    calls_before: int
    calls_after: int
    workers: int
    load_s: float
    quiet_s: float


SwitchEvent = SwitchSet | SwitchReleased | SwitchDrilled


class SetSwitch(Struct, frozen=True, kw_only=True):
    target: Target
    modes: tuple[Mode, ...]
    reason: str
    set_by: PrincipalId
    now: Instant
    expires_at: Instant | None = None


class ReleaseSwitch(Struct, frozen=True, kw_only=True):
    target: Target
    reason: str


class ExpireSwitches(Struct, frozen=True, kw_only=True):
    now: Instant


class RecordDrill(Struct, frozen=True, kw_only=True):
    drilled: SwitchDrilled


SwitchCommand = SetSwitch | ReleaseSwitch | ExpireSwitches | RecordDrill


class NoSuchSwitch(NotFound):
    """No switch is on for this target."""

    code = "switch_not_found"


class NotYourSwitch(Denied):
    """Only whoever runs the installation may switch this."""

    code = "switch_of_installation"


class TooManySwitches(Rejected):
    """So many switches are on that a wider one says the same."""

    code = "too_many_switches"


class On(Struct, frozen=True, kw_only=True):
    """A switch that is on."""

    target: Target
    modes: tuple[Mode, ...]
    reason: str
    set_by: PrincipalId
    set_at: Instant
    expires_at: Instant | None = None

    def counts(self, now: Instant) -> bool:
        return self.expires_at is None or now < self.expires_at


class Board(Struct, frozen=True, kw_only=True):
    """`version` numbers the events of the stream, so of two boards of one holder it is known which is newer."""

    version: int = 0
    on: Mapping[str, On] = {}


def stream_of(holder: TenantId) -> StreamRef:
    return StreamRef(holder, "switch", f"swi_{holder.partition('_')[2]}")


def targets(holder: TenantId) -> frozenset[Scope]:
    """What a holder may switch. Nobody's tenant holds the installation's board."""
    return OF_INSTALLATION if holder == INSTALLATION else OF_TENANT


def read_target(text: str) -> Target:
    """The reverse of `Target.id`. Raises Invalid."""
    scope, colon, name = text.partition(":")
    known = next((each for each in SCOPES if each == scope), None)
    fits = len(name) <= MAX_NAME and name.isascii() and name.isprintable() and bool(colon) == bool(name)
    if known is not None and fits and bool(name) == (known not in NAMELESS) and _can_be_there(known, name):
        return Target(known, name)
    message = f"must be one of {', '.join(SCOPES)}, with a colon and the name of what is switched"
    raise Invalid([Problem(path="/target", message=message)], "no such target")


def _can_be_there(scope: Scope, name: str) -> bool:
    """Connectors and tools may be switched before they are installed, but only by names that they could have: a
    misspelt one would stop nothing."""
    pattern = _PATTERNS.get(scope)
    return redact_text(name) == name and (pattern is None or pattern.fullmatch(name) is not None)


def initial() -> Board:
    return Board()


def decide(command: SwitchCommand, board: Board) -> list[SwitchEvent]:
    """Say what happens. Raises NoSuchSwitch, TooManySwitches, Invalid for a switch that is over already."""
    match command:
        case SetSwitch():
            return _set(command, board)
        case ReleaseSwitch(target=target, reason=reason):
            if target.id not in board.on:
                raise NoSuchSwitch("no such switch is on")
            return [SwitchReleased(target=target, by="principal", reason=_said(reason))]
        case ExpireSwitches(now=now):
            return [SwitchReleased(target=each.target, by="time") for each in board.on.values() if not each.counts(now)]
        case RecordDrill(drilled=drilled):
            return [drilled]


def evolve(board: Board, event: SwitchEvent) -> Board:
    on = dict(board.on)
    match event:
        case SwitchSet():
            on[event.target.id] = On(
                target=event.target,
                modes=event.modes,
                reason=event.reason,
                set_by=event.set_by,
                set_at=event.set_at,
                expires_at=event.expires_at,
            )
        case SwitchReleased(target=target):
            on.pop(target.id, None)
        case SwitchDrilled():
            pass
    return replace(board, version=board.version + 1, on=on)


def _set(command: SetSwitch, board: Board) -> list[SwitchEvent]:
    if command.expires_at is not None and command.expires_at <= command.now:
        raise Invalid(
            [Problem(path="/expires_at", message="must be in the future")], "the switch would be over already"
        )
    modes = tuple(mode for mode in MODES if mode in command.modes)
    if not modes:
        raise Invalid([Problem(path="/modes", message="name at least one")], "the switch would stop nothing")
    before, reason = board.on.get(command.target.id), _said(command.reason)
    if before is None and len(board.on) >= MAX_ON:
        raise TooManySwitches(f"{MAX_ON} switches are on already: one for something wider says the same")
    if before is not None and (before.modes, before.reason, before.expires_at) == (modes, reason, command.expires_at):
        return []
    return [
        SwitchSet(
            target=command.target,
            modes=modes,
            reason=reason,
            set_by=command.set_by,
            set_at=command.now,
            expires_at=command.expires_at,
        )
    ]


def _said(reason: str) -> str:
    return redact_text(reason)[:MAX_REASON]
