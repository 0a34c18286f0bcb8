"""The ledger of one limit: how many calls of the last minute, how many under way, and whose turn it is. Pure.

A call that was allowed counts for a minute from the last moment at which it may begin. So whatever window of a minute
one looks at, no more calls began in it than the limit says, though processes take several ahead and begin them later.
A place is lent to a process for a while under a number, the fence: one that was given up for dead has no say in what
became of its places. Where tenants share a limit, each that had to wait has its equal part kept for a few seconds.

Times are milliseconds by one clock, the engine's.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

PERIOD_MS = 60_000
HOLD_MS = 200  # how long a call that is allowed may take to begin
GRID_MS = 100  # uses are counted together by the tenth of a second
LEASE_MS = 10_000  # how long a place stays with a process that says nothing
TURN_MS = 500  # how long a tenant's part is kept past the time at which it was told to come back
SERVED_MS = 5_000  # how long once it has come back: it may have more to do than one call
PARTLY_MS = 5_000  # what each tenant had is counted together by this


class Limit(Struct, frozen=True, kw_only=True):
    """`key` tells it from every other; `name` is what people read. `shared`: by tenants, in equal parts."""

    key: str
    name: str = ""
    calls_per_minute: int | None = None
    max_concurrent: int | None = None
    shared: bool = False


class Used(Struct, frozen=True, array_like=True):
    """Calls that may begin until then, and count for PERIOD_MS from then."""

    until_ms: int
    count: int


class Held(Struct, frozen=True, array_like=True):
    """Places lent to a process."""

    holder: str
    fence: int
    count: int
    until_ms: int


class Turn(Struct, frozen=True, array_like=True):
    """A tenant that had to wait: from when and until when its part is kept, and whether it has come back."""

    tenant: str
    due_ms: int
    until_ms: int
    is_served: bool


class Share(Struct, frozen=True, array_like=True):
    """What a tenant had of a shared limit within PARTLY_MS from then. It counts for about a minute."""

    tenant: str
    at_ms: int
    calls: int


class Ledger(Struct, frozen=True, array_like=True):
    used: tuple[Used, ...] = ()  # oldest first
    held: tuple[Held, ...] = ()
    turns: tuple[Turn, ...] = ()
    shares: tuple[Share, ...] = ()
    fence: int = 0  # the last one given out


class Ask(Struct, frozen=True, kw_only=True):
    """What a process wants of a limit for a tenant, and what it has and gives back.

    `in_use` places of those it has under `fence` are in use; the others are given back. `ahead` calls are taken on top
    where nobody waits. `unused` calls were never begun.
    """

    holder: str
    tenant: str
    calls: int = 0
    ahead: int = 0
    in_use: int = 0
    fence: int = 0
    unused: tuple[Used, ...] = ()


class Given(NamedTuple):
    """`calls` may begin until `until_ms`; places for them are held under `fence` (0: none). `lost`: those held before
    are not ours any more. `short_of` says what there was too little of."""

    calls: int
    ahead: int
    until_ms: int
    fence: int
    lost: bool
    short_of: Literal["calls", "places"] | None


def settle(ledger: Ledger, limit: Limit, ask: Ask, now_ms: int) -> tuple[Ledger, Given]:
    """The ledger afterwards; the very same one when there is nothing to write down."""
    now = _given_back(_as_of(ledger, now_ms), ask.unused)
    ours = next((held for held in now.held if (held.holder, held.fence) == (ask.holder, ask.fence)), None)
    lost = bool(ask.fence) and ours is None
    in_use = ask.in_use if ours is not None else 0
    others = sum(held.count for held in now.held if held is not ours)
    free_calls = _room(limit.calls_per_minute, sum(used.count for used in now.used))
    free_places = _room(limit.max_concurrent, others + in_use)
    kept = [turn.tenant for turn in now.turns if turn.tenant != ask.tenant and turn.due_ms <= now_ms]
    room = min(free_calls - _calls_kept(now, limit, kept), free_places - _places_kept(now, ask, kept))
    calls = int(max(0, min(ask.calls, room)))
    ahead = int(min(ask.ahead, free_calls - calls)) if calls == ask.calls and not now.turns else 0
    given = Given(
        calls=calls,
        ahead=ahead,
        until_ms=_use_by(now_ms),
        fence=_fence(ours, in_use + calls, limit, now),
        lost=lost,
        short_of=None if calls == ask.calls else ("calls" if free_calls <= free_places else "places"),
    )
    after = _written(now, limit, ask, given, in_use, ours, now_ms)
    return (ledger if _says_the_same(after, ledger, now_ms) else after), given


def free_at_ms(ledger: Ledger, limit: Limit, nth: int, now_ms: int) -> int:
    """When the nth further call from now may begin, if nobody else takes one before."""
    if limit.calls_per_minute is None:
        return now_ms
    used = [each for each in ledger.used if each.until_ms + PERIOD_MS > now_ms]
    over = sum(each.count for each in used) + nth - limit.calls_per_minute
    if over <= 0:
        return now_ms
    periods, over = divmod(over - 1, limit.calls_per_minute)  # past a minute's worth the pattern repeats
    for each in used:
        over -= each.count
        if over < 0:
            return each.until_ms + (periods + 1) * PERIOD_MS
    return now_ms + (periods + 1) * PERIOD_MS


def _room(allowed: int | None, taken: int) -> float:
    return math.inf if allowed is None else allowed - taken


def _use_by(now_ms: int) -> int:
    return -(-(now_ms + HOLD_MS) // GRID_MS) * GRID_MS


def _as_of(ledger: Ledger, now_ms: int) -> Ledger:
    return replace(
        ledger,
        used=tuple(used for used in ledger.used if used.until_ms + PERIOD_MS > now_ms),
        held=tuple(held for held in ledger.held if held.until_ms > now_ms),
        turns=tuple(turn for turn in ledger.turns if turn.until_ms > now_ms),
        shares=tuple(share for share in ledger.shares if share.at_ms + PERIOD_MS > now_ms),
    )


def _given_back(ledger: Ledger, unused: Iterable[Used]) -> Ledger:
    back = {each.until_ms: each.count for each in unused}
    if not back:
        return ledger
    left = (Used(used.until_ms, used.count - back.get(used.until_ms, 0)) for used in ledger.used)
    return replace(ledger, used=tuple(used for used in left if used.count > 0))


def _had(ledger: Ledger, tenant: str) -> int:
    return sum(share.calls for share in ledger.shares if share.tenant == tenant)


def _calls_kept(ledger: Ledger, limit: Limit, tenants: Sequence[str]) -> float:
    """What is left of the equal parts of those tenants, there being one more."""
    if limit.calls_per_minute is None or not tenants:
        return 0
    part = limit.calls_per_minute / (len(tenants) + 1)
    return sum(max(0, math.ceil(part - _had(ledger, tenant))) for tenant in tenants)


def _places_kept(ledger: Ledger, ask: Ask, tenants: Sequence[str]) -> int:
    """One for each of those tenants that had less than the one that asks."""
    mine = _had(ledger, ask.tenant)
    return sum(_had(ledger, tenant) < mine for tenant in tenants)


def _fence(ours: Held | None, places: int, limit: Limit, now: Ledger) -> int:
    if limit.max_concurrent is None or not places:
        return 0
    return ours.fence if ours is not None else now.fence + 1


def _written(now: Ledger, limit: Limit, ask: Ask, given: Given, in_use: int, ours: Held | None, now_ms: int) -> Ledger:
    held = tuple(each for each in now.held if each is not ours)
    if given.fence:
        held += (Held(ask.holder, given.fence, in_use + given.calls, now_ms + LEASE_MS),)
    return replace(
        now,
        used=_with_use(now.used, given.until_ms, given.calls + given.ahead) if limit.calls_per_minute else (),
        held=held,
        turns=_with_turn(now, limit, ask, given, now_ms) if limit.shared else (),
        shares=_with_share(now, ask.tenant, given.calls, now_ms) if limit.shared else (),
        fence=max(now.fence, given.fence),
    )


def _with_use(used: tuple[Used, ...], until_ms: int, count: int) -> tuple[Used, ...]:
    if not count:
        return used
    same = sum(each.count for each in used if each.until_ms == until_ms)
    others = (each for each in used if each.until_ms != until_ms)
    return tuple(sorted((*others, Used(until_ms, same + count)), key=lambda each: each.until_ms))


def _with_turn(now: Ledger, limit: Limit, ask: Ask, given: Given, now_ms: int) -> tuple[Turn, ...]:
    mine = next((turn for turn in now.turns if turn.tenant == ask.tenant), None)
    others = tuple(turn for turn in now.turns if turn is not mine)
    if given.short_of is not None:
        due_ms = free_at_ms(now, limit, 1, now_ms) if given.short_of == "calls" else now_ms
        return (*others, Turn(ask.tenant, due_ms, due_ms + TURN_MS, False))
    if given.calls and mine is not None and not mine.is_served:
        return (*others, Turn(ask.tenant, now_ms, now_ms + SERVED_MS, True))
    return now.turns


def _with_share(now: Ledger, tenant: str, calls: int, now_ms: int) -> tuple[Share, ...]:
    if not calls:
        return now.shares
    at_ms = now_ms // PARTLY_MS * PARTLY_MS
    mine = next((share for share in now.shares if (share.tenant, share.at_ms) == (tenant, at_ms)), None)
    others = tuple(share for share in now.shares if share is not mine)
    return (*others, Share(tenant, at_ms, calls + (mine.calls if mine is not None else 0)))


def _says_the_same(after: Ledger, before: Ledger, now_ms: int) -> bool:
    """But for what has lapsed by itself."""
    return after == _as_of(before, now_ms)
