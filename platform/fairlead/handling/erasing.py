"""Carries out what erasures say, in every process and again after each start.

The fact is on the log first. Whoever hears of it forgets the keys and what they opened; one who may change the database
also destroys the keys there, and drops what was kept of answers and results. All of it can be done again.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.erasures import Erased
from fairlead.domain.errors import Unavailable
from fairlead.handling.handler import Handler
from fairlead.ports import ContentKeys, Log, Results, StaleObjects

RETRY_S = 0.5
READY_WITHIN_S = 10.0
OBJECTS_AT_ONCE = 500

Forgotten = Callable[[TenantId, Erased], Awaitable[None]]

_log = structlog.get_logger()


class Forgetting:
    """What a process itself remembers."""

    def __init__(self, keys: ContentKeys, handler: Handler) -> None:
        self._keys = keys
        self._handler = handler

    async def __call__(self, tenant_id: TenantId, erased: Erased) -> None:
        self._keys.forget(tenant_id, erased.key_ids)
        self._handler.forget(tenant_id)


class Destroying:
    """What all processes share. Raises Unavailable; said again, it goes on."""

    def __init__(self, keys: ContentKeys, results: Results, objects: StaleObjects | None) -> None:
        self._keys = keys
        self._results = results
        self._objects = objects

    async def __call__(self, tenant_id: TenantId, erased: Erased) -> None:
        await self._keys.destroy(tenant_id, erased.key_ids, erased.erased_at)
        await self._results.drop(tenant_id)
        if self._objects is not None:
            while versions := await self._stored(self._objects, tenant_id, erased):
                await self._objects.remove(tenant_id, erased.erased_at, versions)

    async def _stored(self, objects: StaleObjects, tenant_id: TenantId, erased: Erased) -> list[str]:
        if erased.scope == "tenant":
            return await objects.older(tenant_id, erased.erased_at, OBJECTS_AT_ONCE)
        return await objects.about(tenant_id, erased.data_subject, erased.erased_at, OBJECTS_AT_ONCE)


class ErasureWatch:
    """Hears of every erasure that there ever was, and then of each new one within moments. Must be `run`."""

    def __init__(self, log: Log, forgotten: Forgotten) -> None:
        self._log = log
        self._forgotten = forgotten
        self._after = LogSequence(0)
        self._caught_up = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except Unavailable as unavailable:
                _log.warning("erasures_not_followed", reason=str(unavailable))
                await asyncio.sleep(RETRY_S)

    async def caught_up(self) -> None:
        """Returns when nothing that was erased before can be read here; raises Unavailable when that takes too long."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._caught_up.wait()
        except TimeoutError:
            raise Unavailable("the list of erasures") from None

    async def _follow(self) -> None:
        async with self._log.follow(self._after, ("erasure",)) as batches:
            async for batch in batches:
                if not batch:
                    self._caught_up.set()
                for recorded in batch:
                    if isinstance(recorded, Unreadable):
                        _log.error("erasure_unreadable", sequence=recorded.sequence)
                    else:
                        for event in recorded.commit.events:
                            await self._forgotten(recorded.commit.tenant_id, event)
                    self._after = recorded.sequence
