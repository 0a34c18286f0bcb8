"""Orders on JetStream: a work queue in memory, made again whenever a restart has emptied it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_lanes import FairLane, FairTaking, unfinished_of_lane
from fairlead.adapters.nats_streams import JOBS, ensure_jobs
from fairlead.domain.subjects import job, jobs_root
from fairlead.ports import Order, Unfinished

LEASE_S = 10.0


class NatsJobs:
    def __init__(self, connection: NatsConnection, lease_s: float = LEASE_S, replicas: int = 1) -> None:
        self._connection = connection
        self._lease_s = lease_s
        self._replicas = replicas
        self._when_lost: list[Callable[[], None]] = []
        connection.on_reconnect.append(self._reconnected)

    async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
        """Raises Unavailable only where it is known at once that nobody is there to take the order."""
        await self._connection.room()
        self._connection.send(job(lane, tenant_id, order_id), body)

    @asynccontextmanager
    async def take(self, lane: str, max_in_flight: int) -> AsyncIterator[AsyncIterator[Order]]:
        root = jobs_root(lane)
        taking = FairTaking(
            self._connection,
            FairLane(stream=JOBS, name=f"lane-{lane}", root=root, lease_s=self._lease_s, prepare=self._prepare),
            max_in_flight,
        )
        try:
            yield taking
        finally:
            await taking.close()

    async def unfinished(self, lane: str) -> Unfinished:
        return await unfinished_of_lane(self._connection, JOBS, f"lane-{lane}", jobs_root(lane))

    def when_lost(self, call: Callable[[], None]) -> None:
        self._when_lost.append(call)

    async def _reconnected(self) -> None:
        await self._prepare()
        for call in self._when_lost:
            call()

    async def _prepare(self) -> None:
        await ensure_jobs(self._connection, self._replicas)
