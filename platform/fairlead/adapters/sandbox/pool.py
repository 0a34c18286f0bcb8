"""Warm processes: one belongs to one connector's version and one tenant, serves a bounded number of calls one by one,
and waits frozen for a bounded time. It never changes hands."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import msgspec
from fairlead_sandbox import wire as w
from fairlead_sdk.description import ManifestDescription
from fairlead_sdk.outbound import Http

from fairlead.adapters.sandbox.child import Child
from fairlead.adapters.sandbox.containment import Containment
from fairlead.adapters.sandbox.limits import Limits
from fairlead.adapters.sandbox.packages import Unpacked


class Kept:
    """`timer` runs while it is idle."""

    def __init__(self, child: Child, code: Unpacked, tenant: str) -> None:
        self.child = child
        self.code = code
        self.tenant = tenant
        self.timer: asyncio.TimerHandle | None = None


class Pool:
    def __init__(self, containment: Containment, limits: Limits) -> None:
        self._containment = containment
        self._limits = limits
        self._idle: list[Kept] = []  # who has waited longest comes first
        self._alive: Counter[str] = Counter()  # idle or not, by tenant
        self._freed = asyncio.Event()
        self._errands: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def call(self, code: Unpacked, tenant: str, ask: w.Ask, http: Http) -> msgspec.Raw:
        """Waits for room when all are taken. Raises ToolError."""
        kept = await self._lease(code, tenant)
        try:
            output = await kept.child.ask(ask, http)
        except asyncio.CancelledError:
            self._errand(self._wind_down(kept))
            raise
        except BaseException:
            self._give_back(kept)
            raise
        self._give_back(kept)
        return output

    async def describe(self, code: Unpacked) -> ManifestDescription:
        """What a connector says of itself, asked in a process that serves nobody. Raises CannotStart."""
        child = await Child.start(self._containment, code, self._limits)
        try:
            return await child.describe()
        finally:
            await child.end()

    async def aclose(self) -> None:
        """Ends every idle process, and waits for those whose calls are being given up. None is kept from then on."""
        self._closed = True
        while self._idle:
            self._discard(self._idle.pop())
        while self._errands:
            await asyncio.gather(*self._errands, return_exceptions=True)

    async def _lease(self, code: Unpacked, tenant: str) -> Kept:
        while True:
            if warm := self._warm(code, tenant):
                return warm
            if self._made_room(tenant):
                break
            self._freed.clear()
            await self._freed.wait()
        self._alive[tenant] += 1
        starting = self._errand(self._start(code, tenant))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._unclaimed)
            raise

    def _warm(self, code: Unpacked, tenant: str) -> Kept | None:
        mine = [kept for kept in self._idle if kept.code == code and kept.tenant == tenant]
        for kept in reversed(mine):  # the most recent one is the warmest
            self._take(kept)
            if kept.child.fault is None:
                return kept
            self._discard(kept)
        return None

    def _made_room(self, tenant: str) -> bool:
        """An idle process gives way: the tenant's own at the tenant's bound, anybody's at that of all."""
        if self._alive[tenant] >= self._limits.processes_per_tenant:
            return self._evict([kept for kept in self._idle if kept.tenant == tenant])
        return self._alive.total() < self._limits.processes or self._evict(self._idle)

    def _evict(self, candidates: list[Kept]) -> bool:
        for kept in candidates[:1]:
            self._take(kept)
            self._discard(kept)
            return True
        return False

    async def _start(self, code: Unpacked, tenant: str) -> Kept:
        try:
            return Kept(await Child.start(self._containment, code, self._limits), code, tenant)
        except BaseException:
            self._forget(tenant)
            raise

    def _unclaimed(self, starting: "asyncio.Task[Kept]") -> None:
        """Whoever wanted it is gone; it is warm now for the next."""
        if not starting.cancelled() and starting.exception() is None:
            self._give_back(starting.result())

    async def _wind_down(self, kept: Kept) -> None:
        await kept.child.wind_down()
        self._give_back(kept)

    def _give_back(self, kept: Kept) -> None:
        if self._closed or kept.child.worn:
            self._discard(kept)
            return
        kept.child.freeze()
        kept.timer = asyncio.get_running_loop().call_later(self._limits.idle_s, self._expire, kept)
        self._idle.append(kept)
        self._freed.set()

    def _expire(self, kept: Kept) -> None:
        self._take(kept)
        self._discard(kept)

    def _take(self, kept: Kept) -> None:
        self._idle.remove(kept)
        if kept.timer is not None:
            kept.timer.cancel()
            kept.timer = None

    def _discard(self, kept: Kept) -> None:
        if kept.timer is not None:
            kept.timer.cancel()
        self._errand(kept.child.end())
        self._forget(kept.tenant)

    def _forget(self, tenant: str) -> None:
        self._alive[tenant] -= 1
        if not self._alive[tenant]:
            del self._alive[tenant]
        self._freed.set()

    def _errand(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task
