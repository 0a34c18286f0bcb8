"""Timers in memory, for unit tests: a clock that a test moves by hand is looked at when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from fairlead.adapters.memory_orders import MemoryLane, MemoryOrder, MemoryTaking
from fairlead.domain.subjects import timer
from fairlead.ports import Clock, Order, Unfinished


class MemoryTimers:
    def __init__(self, clock: Clock, lease_s: float = 30.0) -> None:
        self._clock = clock
        self._due = MemoryLane(lease_s)
        self._set: dict[str, tuple[datetime, bytes]] = {}
        self._rung: dict[str, MemoryOrder] = {}

    async def set(self, tenant_id: str, timer_id: str, due_at: datetime, body: bytes) -> None:
        self._set[timer(tenant_id, timer_id)] = (due_at, body)
        wait_s = (due_at - self._clock.now()).total_seconds()
        asyncio.get_running_loop().call_later(max(0.0, wait_s) + 0.002, self.ring)  # never before it is due

    async def clear(self, tenant_id: str, timer_id: str) -> None:
        name = timer(tenant_id, timer_id)
        self._set.pop(name, None)
        if (order := self._rung.pop(name, None)) is not None:
            self._due.remove(order)

    @asynccontextmanager
    async def due(self, max_in_flight: int) -> AsyncIterator[AsyncIterator[Order]]:
        with MemoryTaking(self._due, max_in_flight) as taking:
            yield taking

    async def unfinished(self) -> Unfinished:
        return self._due.unfinished()

    def ring(self) -> None:
        """Hand out what is due by the clock. Only a test that moves the clock itself needs to call this."""
        now = self._clock.now()
        for name, (_, body) in [(name, alarm) for name, alarm in self._set.items() if alarm[0] <= now]:
            del self._set[name]
            if (unheard := self._rung.pop(name, None)) is not None:
                self._due.remove(unheard)  # set again before anybody took it
            self._rung[name] = order = MemoryOrder(self._due, body)
            self._due.add(order)
