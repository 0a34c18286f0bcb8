"""What a process has of one limit: calls that may begin, places, and until when there is known to be nothing more."""

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from fairlead.adapters.throttle.ledgers import Ledgers
from fairlead.domain.errors import Unavailable
from fairlead.domain.throttling import HOLD_MS, Ask, Given, Ledger, Limit, Used, free_at_ms, settle
from fairlead.ports import Over

Short = Literal["calls", "places"]
MAX_TRIES = 40
AHEAD_PART = 400  # of a minute's calls, at most one in so many is taken ahead
REUSE_S = 0.25  # how long idle places may be used without asking whose turn it is
FULL_S = 0.02  # a limit without a free place, or with what is kept for others, is not asked again within this
LEAST_S, MOST_S = 0.02, 5.0  # bounds of a guess when a place becomes free
LONGEST_S = 61.0
MAX_TENANTS_REFUSED = 1_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Ledger).decode


class Lot:
    """Calls that may begin until then, by our clock."""

    __slots__ = ("left", "until_s")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.left = 0


class Refusal:
    """What a tenant was told: until when there is nothing, of what, and when those come back who heard so."""

    __slots__ = ("back_s", "said_s", "short_of", "until_s")

    def __init__(self) -> None:
        self.short_of: Short = "calls"
        self.said_s = self.until_s = float("-inf")
        self.back_s: list[float] = []

    def is_over(self, now_s: float) -> bool:
        return now_s >= self.until_s and all(back_s <= now_s for back_s in self.back_s)


class Taken(NamedTuple):
    """`fence` is of the place, 0 where none is needed."""

    pool: "Pool"
    fence: int
    lot: Lot | None

    def put_back(self) -> None:
        """It was not begun."""
        if self.lot is not None:
            self.lot.left += 1
        self.pool.free(self.fence)


class Pool:
    """Whoever asks the ledger holds `_turn`. Meanwhile nobody takes a place: the ledger is told how many are used."""

    def __init__(self, ledgers: Ledgers, holder: str, limit: Limit, steady: Callable[[], float]) -> None:
        self.limit = limit
        self.is_being_tidied = False
        self._ledgers = ledgers
        self._holder = holder
        self._steady = steady
        self._ledger = Ledger()
        self._revision = 0
        self._is_current = False
        self._turn = asyncio.Lock()
        self._wanting: Counter[str] = Counter()
        self._refused: dict[str, Refusal] = {}  # by tenant
        self._lots: dict[int, Lot] = {}  # by until when, by the engine's clock
        self._ahead = 0
        self._fence = 0
        self._places = 0
        self._in_use = 0
        self._asked_s = float("-inf")
        self._asked_ms = 0
        self._is_asking = False
        self._freed_s = float("-inf")
        self._call_s = 0.2  # how long a call takes, about

    @property
    def is_empty(self) -> bool:
        return not (self._places or self._lots or self._wanting)

    @property
    def is_to_tidy(self) -> bool:
        now_s = self._steady()
        return self._places > self._in_use or any(lot.left and lot.until_s < now_s for lot in self._lots.values())

    def is_to_renew(self, age_s: float) -> bool:
        return bool(self._in_use) and self._steady() >= self._asked_s + age_s

    def nothing(self, tenant_id: str) -> Over | None:
        """Without a question: it is known that there is nothing yet."""
        refusal = self._refused.get(tenant_id)
        is_known = refusal is not None and self._freed_s < refusal.said_s and self._steady() < refusal.until_s
        return self._over(tenant_id) if is_known else None

    def take_here(self) -> Taken | None:
        """From what is here already."""
        now_s = self._steady()
        needs_place = self.limit.max_concurrent is not None
        if needs_place and (self._is_asking or self._in_use >= self._places or now_s > self._asked_s + REUSE_S):
            return None
        lot = None
        if self.limit.calls_per_minute is not None:
            lot = next((lot for lot in self._lots.values() if lot.left and now_s <= lot.until_s), None)
            if lot is None:
                return None
            lot.left -= 1
        self._in_use += needs_place
        return Taken(self, self._fence if needs_place else 0, lot)

    async def take(self, tenant_id: str) -> Taken | Over:
        """Ask for more. Raises Unavailable."""
        self._wanting[tenant_id] += 1
        try:
            async with self._turn:
                if (known := self.take_here() or self.nothing(tenant_id)) is not None:
                    return known
                await self._ask(tenant_id, self._wanting[tenant_id])
                return self.take_here() or self._over(tenant_id)
        finally:
            self._wanting[tenant_id] -= 1
            if not self._wanting[tenant_id]:
                del self._wanting[tenant_id]

    def free(self, fence: int) -> None:
        if fence and fence == self._fence:  # else it was given up for dead, and its places are somebody else's
            self._in_use -= 1
            self._freed_s = self._steady()

    def took(self, seconds: float) -> None:
        self._call_s += (seconds - self._call_s) / 8

    async def tidy(self) -> None:
        """Renew what is in use, give back what is not."""
        async with self._turn:
            if self.is_to_tidy or self._in_use:
                await self._ask("", 0)

    async def _ask(self, tenant_id: str, calls: int) -> None:
        self._is_asking = True
        try:
            for tried in range(MAX_TRIES):
                if await self._asked(tenant_id, calls):
                    return
                await asyncio.sleep(random.uniform(0, 0.001 * tried))  # noqa: S311  # spreads rivals, guards nothing
        finally:
            self._is_asking = False
        raise Unavailable(f"the limit {self.limit.key}")

    async def _asked(self, tenant_id: str, calls: int) -> bool:
        """False when it has to be asked again, from what is written there now."""
        is_fresh = not self._is_current
        if is_fresh:
            self._revision, body = await self._ledgers.read(self.limit.key)
            self._ledger, self._is_current = (_decode(body) if body else Ledger()), True
        now_ms, now_s = await self._ledgers.now_ms(), self._steady()
        ask = self._wanted(tenant_id, calls, now_s)
        after, given = settle(self._ledger, self.limit, ask, now_ms)
        if given.short_of is not None and not is_fresh:
            self._is_current = False  # others may have given something back since
            return False
        if not await self._write(after):
            return False
        self._received(given, ask, now_ms, now_s)
        return True

    async def _write(self, after: Ledger) -> bool:
        if after is self._ledger:
            return True
        self._is_current = False  # until it is known what became of it
        revision = await self._ledgers.write(self.limit.key, _encode(after), self._revision)
        if revision is None:
            return False
        self._ledger, self._revision, self._is_current = after, revision, True
        return True

    def _wanted(self, tenant_id: str, calls: int, now_s: float) -> Ask:
        lapsed = [(until_ms, lot) for until_ms, lot in self._lots.items() if lot.until_s < now_s]
        return Ask(
            holder=self._holder,
            tenant=tenant_id,
            calls=calls,
            ahead=self._ahead if calls else 0,
            in_use=self._in_use,
            fence=self._fence,
            unused=tuple(Used(until_ms, lot.left) for until_ms, lot in lapsed if lot.left),
        )

    def _received(self, given: Given, ask: Ask, now_ms: int, now_s: float) -> None:
        is_busy = not ask.unused and now_s - self._asked_s < HOLD_MS / 1_000
        most_ahead = (self.limit.calls_per_minute or 0) // AHEAD_PART
        self._ahead = min(most_ahead, 2 * self._ahead + 1) if is_busy else 0
        self._asked_s, self._asked_ms = now_s, now_ms
        self._lots = {until_ms: lot for until_ms, lot in self._lots.items() if lot.until_s >= now_s}
        if self.limit.calls_per_minute is not None and (count := given.calls + given.ahead):
            until_s = now_s + (given.until_ms - now_ms) / 1_000
            self._lots.setdefault(given.until_ms, Lot(until_s)).left += count
        if given.lost:
            self._in_use = 0
        held = 0 if given.lost else ask.in_use
        self._fence, self._places = given.fence, held + given.calls if given.fence else 0
        if given.short_of is not None and not given.calls:
            self._refuse(ask.tenant, given.short_of, now_ms, now_s)

    def _refuse(self, tenant_id: str, short_of: Short, now_ms: int, now_s: float) -> None:
        if len(self._refused) > MAX_TENANTS_REFUSED:
            self._refused = {tenant: each for tenant, each in self._refused.items() if not each.is_over(now_s)}
        refusal = self._refused.setdefault(tenant_id, Refusal())
        refusal.short_of, refusal.said_s = short_of, now_s
        wait_s = (free_at_ms(self._ledger, self.limit, 1, now_ms) - now_ms) / 1_000 if short_of == "calls" else 0.0
        refusal.until_s = now_s + (wait_s if wait_s > 0 else FULL_S)

    def _over(self, tenant_id: str) -> Over:
        """When to come back: as the nth of those that found nothing here, when the nth call or place is free."""
        now_s, refusal = self._steady(), self._refused.setdefault(tenant_id, Refusal())
        while refusal.back_s and refusal.back_s[0] <= now_s:
            heapq.heappop(refusal.back_s)
        wait_s = min(LONGEST_S, max(LEAST_S, self._wait_s(refusal, len(refusal.back_s) + 1, now_s)))
        heapq.heappush(refusal.back_s, now_s + wait_s)
        return Over(limit=self.limit, short_of=refusal.short_of, wait_s=wait_s)

    def _wait_s(self, refusal: Refusal, nth: int, now_s: float) -> float:
        if refusal.short_of == "calls":
            free_ms = free_at_ms(self._ledger, self.limit, nth, self._asked_ms)
            return (free_ms - self._asked_ms) / 1_000 - (now_s - self._asked_s)
        guess_s = self._call_s * nth / (self.limit.max_concurrent or 1)
        return min(MOST_S, guess_s) * random.uniform(0.75, 1.25)  # noqa: S311  # spreads, guards nothing
