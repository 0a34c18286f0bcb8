"""Jobs in memory, for unit tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fairlead.adapters.memory_orders import MemoryLane, MemoryOrder, MemoryTaking
from fairlead.domain.subjects import job, jobs_of_lane
from fairlead.ports import Order

DEDUPE_S = 120.0


class MemoryJobs:
    def __init__(self, lease_s: float = 30.0) -> None:
        self._lease_s = lease_s
        self._lanes: dict[str, MemoryLane] = {}
        self._published_at: dict[str, float] = {}

    async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
        job(lane, tenant_id)  # refuses what could not be a name on a real engine
        now = asyncio.get_running_loop().time()
        if now - self._published_at.get(order_id, -DEDUPE_S) >= DEDUPE_S:
            self._published_at[order_id] = now
            of_lane = self._lane(lane)
            of_lane.add(MemoryOrder(of_lane, body))

    @asynccontextmanager
    async def take(self, lane: str, max_in_flight: int) -> AsyncIterator[AsyncIterator[Order]]:
        jobs_of_lane(lane)
        with MemoryTaking(self._lane(lane), max_in_flight) as taking:
            yield taking

    async def waiting(self, lane: str) -> int:
        return self._lane(lane).waiting

    def _lane(self, lane: str) -> MemoryLane:
        return self._lanes.setdefault(lane, MemoryLane(self._lease_s))
