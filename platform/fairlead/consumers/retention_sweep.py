"""Removes what tenants keep no longer, a lot at a time: one process does it, the others find the lock taken."""

import asyncio

import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.consumers.expiring import Expiring, Place
from fairlead.consumers.removing import Removing
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.handling.handler import Handler
from fairlead.handling.legal_holds import LegalHolds
from fairlead.ports import Clock, Ids, Log, LogRemoval, SqlSession, SqlSessions, StaleObjects

EVERY_S = 3_600.0
MOST_LOTS = 100  # of a tenant in one sweep
PAUSE_S = 0.2  # between lots, for everybody else
LOCK = "retention_sweep"

_OPEN = """
SELECT expiry_id
  FROM expiries
 WHERE tenant_id = %(tenant)s AND removed_at IS NULL AND sequence > %(after)s
 ORDER BY sequence
 LIMIT %(limit)s
"""

_log = structlog.get_logger()


class _Open(Struct, frozen=True):
    expiry_id: str


class RetentionSweep:
    def __init__(
        self,
        log: Log,
        removal: LogRemoval,
        sessions: SqlSessions,
        handler: Handler,
        clock: Clock,
        ids: Ids,
        *,
        objects: StaleObjects | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:
        """`objects` is the store, where there is one."""
        self._log = log
        self._sessions = sessions
        self._clock = clock
        self._holds = LegalHolds(handler)
        self._expiring = Expiring(handler, ids)
        self._removing = Removing(log, removal, handler, clock, objects)
        self._objects = objects
        self._pause_s = pause_s
        self._tenants: set[TenantId] = set()
        self._known_up_to = LogSequence(0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as unavailable:
                _log.warning("retention_waits", reason=str(unavailable))
            except Exception as error:  # noqa: BLE001  # what stays too long must not stop the runs
                _log.error("retention_failed", exc_info=error)
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """How many lots were removed; none while another process is at it. Raises Unavailable."""
        await self._learn_tenants()
        lots = 0
        async with self._sessions.session() as session:
            if not await session.try_lock(LOCK):
                return 0
            for tenant_id in sorted(self._tenants):
                try:
                    lots += await self.sweep_tenant(session, tenant_id)
                except Unavailable:
                    raise
                except FairleadError as fault:  # of this tenant; the others are not kept waiting
                    _log.error("tenant_not_swept", tenant_id=tenant_id, code=fault.code, reason=str(fault))
        _log.info("expired_content_removed", tenants=len(self._tenants), lots=lots)
        return lots

    async def sweep_tenant(self, session: SqlSession, tenant_id: TenantId) -> int:
        """How many lots were removed. Whoever asks has the lock."""
        lots = await self._go_on(session, tenant_id)
        retention = await self._holds.of(tenant_id)
        if retention.holds_everything:
            return lots
        after: Place | None = Place()
        while after is not None and lots < MOST_LOTS:
            begun, after = await self._expiring.begin_runs(session, tenant_id, retention, self._clock.now(), after)
            if begun is not None:
                if not await self._removing.carry_out(session, tenant_id, begun):
                    return lots
                lots += 1
                await asyncio.sleep(self._pause_s)
        while lots < MOST_LOTS:
            begun = await self._expiring.begin_accesses(session, tenant_id, retention, self._clock.now())
            if begun is None and self._objects is not None:
                begun = await self._expiring.begin_objects(self._objects, tenant_id, retention, self._clock.now())
            if begun is None:
                begun = await self._expiring.begin_leaves(session, tenant_id, retention, self._clock.now())
            if begun is None or not await self._removing.carry_out(session, tenant_id, begun):
                return lots
            lots += 1
            await asyncio.sleep(self._pause_s)
        return lots

    async def _go_on(self, session: SqlSession, tenant_id: TenantId) -> int:
        """With what was begun, by this process or by one that is no more."""
        async with session.transaction() as tx:
            await tx.fence(tenant_id)
            found = await tx.rows(_OPEN, {"tenant": tenant_id, "after": 0, "limit": MOST_LOTS}, _Open)
        done = 0
        for each in found:
            done += await self._removing.carry_out(session, tenant_id, each.expiry_id)
        return done

    async def _learn_tenants(self) -> None:
        async with self._log.follow(self._known_up_to, ("tenant",)) as batches:
            async for batch in batches:
                if not batch:
                    return
                self._tenants |= {each.stream.tenant_id for each in batch}
                self._known_up_to = batch[-1].sequence
