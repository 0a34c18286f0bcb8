"""Deletes idempotency keys that have stopped counting, also those of tenants that send nothing more.

Tenant by tenant, inside the fence; which tenants there are, the log says.
"""

import asyncio

import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.ports import Log, SqlSession, SqlSessions

EVERY_S = 3_600.0
AT_ONCE = 1_000  # rows in one transaction
LOCK = "idempotency_sweep"

_DELETE = """
WITH gone AS (
    DELETE FROM idempotency
     WHERE tenant_id = %(tenant)s AND (principal_id, key_sha256) IN (
           SELECT principal_id, key_sha256
             FROM idempotency
            WHERE tenant_id = %(tenant)s AND created_at <= now() - interval '24 hours'
            ORDER BY created_at
            LIMIT %(limit)s)
    RETURNING tenant_id
)
SELECT count(*) AS rows FROM gone
"""

_log = structlog.get_logger()


class _Counted(Struct, frozen=True):
    rows: int


class IdempotencySweep:
    def __init__(self, log: Log, sessions: SqlSessions) -> None:
        self._log = log
        self._sessions = sessions
        self._tenants: set[TenantId] = set()
        self._known_up_to = LogSequence(0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as unavailable:
                _log.warning("sweep_waits", reason=str(unavailable))
            except Exception as error:  # noqa: BLE001  # rows that stay too long must not stop the runs
                _log.error("sweep_failed", exc_info=error)
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """How many rows were deleted; none while another process is at it."""
        await self._learn_tenants()
        async with self._sessions.session() as session:
            if not await session.try_lock(LOCK):
                return 0
            deleted = [await _sweep_tenant(session, tenant_id) for tenant_id in sorted(self._tenants)]
        _log.info("swept", tenants=len(deleted), idempotency_keys=sum(deleted))
        return sum(deleted)

    async def _learn_tenants(self) -> None:
        async with self._log.follow(self._known_up_to, ("tenant",)) as batches:
            async for batch in batches:
                if not batch:
                    return
                self._tenants |= {each.stream.tenant_id for each in batch}
                self._known_up_to = batch[-1].sequence


async def _sweep_tenant(session: SqlSession, tenant_id: TenantId) -> int:
    total, deleted = 0, AT_ONCE
    while deleted == AT_ONCE:
        async with session.transaction() as tx:
            await tx.fence(tenant_id)
            counted = await tx.row(_DELETE, {"tenant": tenant_id, "limit": AT_ONCE}, _Counted)
        assert counted is not None, "a count is always one row"
        deleted = counted.rows
        total += deleted
    return total
