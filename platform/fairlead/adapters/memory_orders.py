"""Orders handed out under a lease, in memory: what jobs and timers of unit tests have in common."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Self

from fairlead.domain.fairness import may_take
from fairlead.ports import Order, Unfinished


class MemoryLane:
    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self.takers: set[MemoryTaking] = set()
        self._waiting: OrderedDict[str, deque[MemoryOrder]] = OrderedDict()  # by tenant, the next in turn is first

    def add(self, order: "MemoryOrder") -> None:
        self._waiting.setdefault(order.tenant_id, deque()).append(order)
        self.wake()

    def remove(self, order: "MemoryOrder") -> None:
        if order in (line := self._waiting.get(order.tenant_id, deque())):
            line.remove(order)

    def pop(self, in_flight: Collection["MemoryOrder"], max_in_flight: int) -> "MemoryOrder | None":
        """Of the first tenant in turn that may have another place of this taker."""
        for tenant_id, line in list(self._waiting.items()):
            has = sum(order.tenant_id == tenant_id for order in in_flight)
            if line and may_take(has, len(in_flight), max_in_flight):
                self._waiting.move_to_end(tenant_id)
                return line.popleft()
        return None

    def unfinished(self) -> Unfinished:
        """Orders in hand included, as the real engine counts."""
        waiting = [order for line in self._waiting.values() for order in line]
        orders = [*waiting, *(order for taker in self.takers for order in taker.in_flight)]
        now = asyncio.get_running_loop().time()
        return Unfinished(len(orders), max((now - order.since for order in orders), default=0.0))

    def wake(self) -> None:
        for taker in self.takers:
            taker.news.set()


class MemoryOrder:
    def __init__(self, lane: MemoryLane, body: bytes, tenant_id: str = "") -> None:
        self.body = body
        self.tenant_id = tenant_id
        self.deliveries = 0
        self.since = asyncio.get_running_loop().time()
        self.settled = False
        self._lane = lane
        self._taker: MemoryTaking | None = None
        self._lease: asyncio.TimerHandle | None = None

    async def done(self) -> None:
        self.settled = True
        self._release()

    async def extend(self) -> None:
        if self._lease is not None and self._taker is not None:
            self._lease.cancel()
            self._start_lease()

    async def later(self, delay_s: float) -> None:
        self._release()
        asyncio.get_running_loop().call_later(delay_s, self._lane.add, self)

    def park(self) -> None:
        if self._taker is not None:
            self._taker.in_flight.discard(self)
            self._taker.news.set()

    def unpark(self) -> None:
        if self._taker is not None:
            self._taker.in_flight.add(self)

    def handed_to(self, taker: "MemoryTaking") -> None:
        self.deliveries += 1
        self._taker = taker
        self._start_lease()

    def _start_lease(self) -> None:
        self._lease = asyncio.get_running_loop().call_later(self._lane.lease_s, self._come_back)

    def _come_back(self) -> None:
        self._release()
        self._lane.add(self)

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
        if self._taker is not None:
            self._taker.in_flight.discard(self)
            self._taker.news.set()
        self._taker = self._lease = None


class MemoryTaking:
    def __init__(self, lane: MemoryLane, max_in_flight: int) -> None:
        self.in_flight: set[MemoryOrder] = set()
        self.news = asyncio.Event()
        self._lane = lane
        self._max_in_flight = max_in_flight

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Order:
        while True:
            self.news.clear()
            if (order := self._lane.pop(self.in_flight, self._max_in_flight)) is not None:
                self.in_flight.add(order)
                order.handed_to(self)
                return order
            await self.news.wait()

    def __enter__(self) -> Self:
        self._lane.takers.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._lane.takers.discard(self)
