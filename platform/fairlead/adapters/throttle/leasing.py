"""Limits that hold across processes, at few questions: what a ledger allows is taken in lots and used up here.

A limit that has room costs a question to the engine for each lot; one that has none costs no question until the moment
at which something may be free again. Places are kept for a moment after a call, for the next one, and then given back.
"""

import asyncio
import os
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog

from fairlead.adapters.throttle.ledgers import Ledgers
from fairlead.adapters.throttle.pool import Pool, Taken
from fairlead.domain.errors import FairleadError
from fairlead.domain.throttling import LEASE_MS, Limit
from fairlead.ports import Over, Passed

MAX_POOLS = 4_096
LINGER_S = 0.05  # how long an idle place is kept for the next call
_NOTHING = Passed()

_log = structlog.get_logger(__name__)


class LeasingThrottle:
    """One for each process. `steady` is a clock that goes one way; what it counts from does not matter."""

    def __init__(
        self, ledgers: Ledgers, holder: str | None = None, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledgers = ledgers
        self._steady = steady
        self._holder = holder or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._pools: OrderedDict[str, Pool] = OrderedDict()  # the one used longest ago is first
        self._tidying: set[asyncio.Task[None]] = set()

    async def enter(self, limits: Sequence[Limit], tenant_id: str) -> Passed | Over:
        if not limits:
            return _NOTHING
        pools = [self._pool(limit) for limit in limits]
        for pool in pools:
            if (over := pool.nothing(tenant_id)) is not None:
                return over
        taken: list[Taken] = []
        try:
            for pool in pools:
                got = pool.take_here() or await pool.take(tenant_id)
                if isinstance(got, Over):
                    self._put_back(taken)
                    return got
                taken.append(got)
        except BaseException:
            self._put_back(taken)
            raise
        return Passed(taken=tuple(taken), since_s=self._steady())

    def leave(self, passed: Passed) -> None:
        for taken in passed.taken:
            if taken.fence:
                taken.pool.took(self._steady() - passed.since_s)
                taken.pool.free(taken.fence)
                self._tidy_later(taken.pool)

    async def keep(self) -> None:
        for pool in list(self._pools.values()):
            if pool.is_to_tidy or pool.is_to_renew(LEASE_MS / 3_000):
                await self._tidy(pool)

    async def close(self) -> None:
        """What is not in use goes back."""
        for task in self._tidying:
            task.cancel()
        await asyncio.gather(*self._tidying, return_exceptions=True)
        for pool in self._pools.values():
            await self._tidy(pool)

    def _pool(self, limit: Limit) -> Pool:
        pool = self._pools.get(limit.key)
        if pool is None:
            pool = self._pools[limit.key] = Pool(self._ledgers, self._holder, limit, self._steady)
            self._drop_unused()
        self._pools.move_to_end(limit.key)
        pool.limit = limit
        return pool

    def _drop_unused(self) -> None:
        if (surplus := len(self._pools) - MAX_POOLS) > 0:
            unused = [key for key, pool in self._pools.items() if pool.is_empty and not pool.is_being_tidied]
            for key in unused[:surplus]:
                del self._pools[key]

    def _put_back(self, taken: Sequence[Taken]) -> None:
        for each in taken:
            each.put_back()
            self._tidy_later(each.pool)

    def _tidy_later(self, pool: Pool) -> None:
        if pool.is_to_tidy and not pool.is_being_tidied:
            pool.is_being_tidied = True
            task = asyncio.get_running_loop().create_task(self._tidy_after(pool))
            self._tidying.add(task)
            task.add_done_callback(self._tidying.discard)

    async def _tidy_after(self, pool: Pool) -> None:
        try:
            is_there = True
            while is_there and pool.is_to_tidy:
                await asyncio.sleep(LINGER_S)
                is_there = await self._tidy(pool)
        finally:
            pool.is_being_tidied = False

    async def _tidy(self, pool: Pool) -> bool:
        """False when the engine does not answer: then the lease of its places ends."""
        try:
            await pool.tidy()
        except FairleadError as error:
            _log.info("places_not_given_back", reason=str(error))
            return False
        return True
