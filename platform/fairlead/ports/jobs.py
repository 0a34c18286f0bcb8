"""Orders and alarms: hints that are made again from the facts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class Order(Protocol):
    """A job taken from a lane. Unfinished orders come back after their lease."""

    body: bytes
    deliveries: int  # 1 the first time

    async def done(self) -> None: ...

    async def extend(self) -> None:
        """Heartbeat: start the lease anew."""

    async def later(self, delay_s: float) -> None: ...

    def park(self) -> None:
        """It waits: another may be taken in its place, though this one is still ours and needs its heartbeat."""

    def unpark(self) -> None:
        """It goes on, and counts again."""


class Unfinished(Struct, frozen=True):
    """Orders that nobody has finished, in hand or not, and for how long the oldest of them has been there."""

    count: int
    oldest_s: float


class Jobs(Protocol):
    """Orders: may be lost and are made again from the facts. Publishing does not wait for the engine."""

    async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
        """An order that is still in its lane, taken or not, is not stored a second time."""

    def take(self, lane: str, max_in_flight: int) -> AbstractAsyncContextManager[AsyncIterator[Order]]: ...

    async def unfinished(self, lane: str) -> Unfinished: ...

    def when_lost(self, call: Callable[[], None]) -> None:
        """`call` is called each time orders may have been lost, once new ones are taken again."""


class Timers(Protocol):
    """Durable alarms. Setting the same timer id again replaces it."""

    async def set(self, tenant_id: str, timer_id: str, due_at: datetime, body: bytes) -> None: ...

    async def clear(self, tenant_id: str, timer_id: str) -> None: ...

    def due(self, max_in_flight: int) -> AbstractAsyncContextManager[AsyncIterator[Order]]: ...

    async def unfinished(self) -> Unfinished:
        """Alarms that are due."""
