"""Signs the heads of ledgers that have grown, at intervals, and lays them down outside.

A head that could not be laid down is laid down with the next round; a newer one of the same tenant takes its place.
"""

import asyncio
from collections.abc import Sequence

import structlog
from fairlead_ledger.heads import Head
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.errors import FairleadError
from fairlead.handling.ledgers import sign_head
from fairlead.ports import Clock, HeadAnchor, HeadKeys, SqlSession, SqlSessions

AT_ONCE = 500
LOCK_POLL_S = 5.0

_GROWN = """
SELECT tenant_id, size
  FROM ledger_trees
 WHERE shard = %(shard)s AND size > signed_size AND tenant_id > %(after)s
 ORDER BY tenant_id
 LIMIT %(limit)s
"""
_SIGNED = """
UPDATE ledger_trees SET signed_size = %(size)s WHERE tenant_id = %(tenant)s AND signed_size < %(size)s
"""

_log = structlog.get_logger()


class _Grown(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    size: int


class HeadSigner:
    def __init__(
        self,
        sessions: SqlSessions,
        keys: HeadKeys,
        anchors: Sequence[HeadAnchor],
        clock: Clock,
        *,
        every_s: float,
        shard: int = 0,
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._anchors = anchors
        self._clock = clock
        self._every_s = every_s
        self._shard = shard
        self._owed: list[dict[str, Head]] = [{} for _ in anchors]  # by anchor and tenant

    async def run(self) -> None:
        """Until cancelled. One process of a shard signs at intervals; others wait until it has gone."""
        while True:
            try:
                async with self._sessions.session() as session:
                    while not await session.try_lock(f"ledger_heads/{self._shard}"):  # noqa: ASYNC110  # held elsewhere
                        await asyncio.sleep(LOCK_POLL_S)
                    while True:
                        await self.round(session)
                        await asyncio.sleep(self._every_s)
            except FairleadError as waiting:
                _log.warning("ledger_heads_wait", shard=self._shard, code=waiting.code, reason=str(waiting))
                await asyncio.sleep(min(self._every_s, LOCK_POLL_S))

    async def round(self, session: SqlSession) -> int:
        """Sign what has grown since the last head; how many heads that were."""
        count, after = 0, ""
        while True:
            where = {"shard": self._shard, "after": after, "limit": AT_ONCE}
            async with session.transaction() as tx:
                grown = await tx.rows(_GROWN, where, _Grown)
                heads = []
                for tree in grown:
                    await tx.fence(tree.tenant_id)
                    heads.append(await sign_head(tx, self._keys.signer(), tree.tenant_id, tree.size, self._clock.now()))
                    await tx.run(_SIGNED, {"tenant": tree.tenant_id, "size": tree.size})
            await self._lay(heads)
            count += len(heads)
            if len(grown) < AT_ONCE:
                return count
            after = grown[-1].tenant_id

    async def _lay(self, heads: Sequence[Head]) -> None:
        for anchor, owed in zip(self._anchors, self._owed, strict=True):
            owed.update({head.tenant_id: head for head in heads})
            if not owed:
                continue
            try:
                await anchor.lay(list(owed.values()))
                owed.clear()
            except FairleadError as error:
                _log.warning("ledger_anchor_failed", anchor=type(anchor).__name__, heads=len(owed), reason=str(error))
