"""Alarms as scheduled messages of JetStream: kept on disk, moved to a second subject by the engine when due."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_orders import Lane, Taking, unfinished
from fairlead.adapters.nats_streams import TIMERS
from fairlead.domain.subjects import TIMERS_DUE, timer, timer_due, timer_in_any_state
from fairlead.ports import Order, Unfinished

LEASE_S = 10.0


class NatsTimers:
    def __init__(self, connection: NatsConnection, lease_s: float = LEASE_S) -> None:
        self._connection = connection
        self._lease_s = lease_s

    async def set(self, tenant_id: str, timer_id: str, due_at: datetime, body: bytes) -> None:
        """Durable when it returns. A time that has passed is due at once."""
        at = due_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        due = timer_due(tenant_id, timer_id)
        headers = f"NATS/1.0\r\nNats-Schedule: @at {at}\r\nNats-Schedule-Target: {due}\r\n\r\n".encode()
        subject = timer(tenant_id, timer_id)
        await self._connection.patiently(lambda: self._connection.publish(subject, body, headers))

    async def clear(self, tenant_id: str, timer_id: str) -> None:
        """Also takes back what is due and was not handed out yet. Clearing what is not set changes nothing."""
        question = {"filter": timer_in_any_state(tenant_id, timer_id)}
        await self._connection.patiently(lambda: self._connection.api(f"STREAM.PURGE.{TIMERS}", question))

    @asynccontextmanager
    async def due(self, max_in_flight: int) -> AsyncIterator[AsyncIterator[Order]]:
        lane = Lane(
            stream=TIMERS, consumer="due", subjects=TIMERS_DUE, lease_s=self._lease_s, prepare=self._nothing_to_prepare
        )
        taking = Taking(self._connection, lane, max_in_flight)
        try:
            yield taking
        finally:
            await taking.close()

    async def unfinished(self) -> Unfinished:
        return await unfinished(self._connection, TIMERS, "due", TIMERS_DUE)

    async def _nothing_to_prepare(self) -> None:
        """The stream is on disk and made once, when the program starts."""
