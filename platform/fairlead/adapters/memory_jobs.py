"""Jobs in memory, for unit tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fairlead.adapters.memory_orders import MemoryLane, MemoryOrder, MemoryTaking
from fairlead.domain.subjects import job, jobs_root
from fairlead.ports import Order, Unfinished


class MemoryJobs:
    def __init__(self, lease_s: float = 30.0) -> None:
        self._lease_s = lease_s
        self._lanes: dict[str, MemoryLane] = {}
        self._there: dict[str, MemoryOrder] = {}

    async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
        subject = job(lane, tenant_id, order_id)
        if subject not in self._there or self._there[subject].settled:
            of_lane = self._lane(lane)
            self._there[subject] = MemoryOrder(of_lane, body, tenant_id)
            of_lane.add(self._there[subject])

    @asynccontextmanager
    async def take(self, lane: str, max_in_flight: int) -> AsyncIterator[AsyncIterator[Order]]:
        jobs_root(lane)
        with MemoryTaking(self._lane(lane), max_in_flight) as taking:
            yield taking

    async def unfinished(self, lane: str) -> Unfinished:
        return self._lane(lane).unfinished()

    def when_lost(self, call: Callable[[], None]) -> None:
        """Never called: these are lost together with whoever could look after them."""

    def _lane(self, lane: str) -> MemoryLane:
        return self._lanes.setdefault(lane, MemoryLane(self._lease_s))
