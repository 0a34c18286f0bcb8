"""Keys of content in PostgreSQL. Without the vault's key, which is not in the database, its rows open nothing."""

import asyncio
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.content_keys.kept import Kept
from fairlead.adapters.content_keys.memory import new_key_id
from fairlead.adapters.vault.sealing import key_id_of
from fairlead.domain.connections.errors import SecretUnreadable
from fairlead.domain.errors import Unavailable
from fairlead.domain.sealing import KEY_BYTES, ContentKey
from fairlead.ports import KeyEncryption, SqlDatabase, SqlTx

MAX_ATTEMPTS = 3  # a key that was made first by another may be destroyed before it is read

_CURRENT = """
SELECT key_id, wrapped_key
  FROM content_keys
 WHERE tenant_id = %(tenant_id)s AND subject = %(subject)s AND wrapped_key IS NOT NULL
"""
_MAKE = """
INSERT INTO content_keys (tenant_id, key_id, subject, wrapping_key_id, wrapped_key)
VALUES (%(tenant_id)s, %(key_id)s, %(subject)s, %(wrapping_key_id)s, %(wrapped_key)s)
    ON CONFLICT DO NOTHING
"""
_BY_ID = """
SELECT key_id, wrapped_key FROM content_keys WHERE tenant_id = %(tenant_id)s AND key_id = ANY (%(key_ids)s)
"""

_IDS = """
SELECT key_id
  FROM content_keys
 WHERE tenant_id = %(tenant_id)s AND destroyed_at IS NULL AND (%(subject)s::text IS NULL OR subject = %(subject)s)
 ORDER BY made_at, key_id
"""
_DESTROY = """
UPDATE content_keys
   SET wrapping_key_id = NULL, wrapped_key = NULL, destroyed_at = %(at)s
 WHERE tenant_id = %(tenant_id)s AND key_id = ANY (%(key_ids)s) AND destroyed_at IS NULL
"""

_DROP_ANSWERS = """
UPDATE idempotency SET body = NULL
 WHERE tenant_id = %(tenant_id)s AND created_at <= %(at)s AND body IS NOT NULL
"""


class Id(Struct, frozen=True):
    key_id: str


class Row(Struct, frozen=True, kw_only=True):
    key_id: str
    wrapped_key: bytes | None

    def __repr__(self) -> str:
        return f"Row({self.key_id!r})"


class PostgresContentKeys:
    """`database` is connected as the role for requests: no consumer of the database may read the table."""

    def __init__(self, database: SqlDatabase, wrapping: KeyEncryption) -> None:
        self._database = database
        self._wrapping = wrapping
        self._kept = Kept()
        self._turns: WeakValueDictionary[tuple[TenantId, str], asyncio.Lock] = WeakValueDictionary()

    async def sealing(self, tenant_id: TenantId, subject: str) -> ContentKey:
        key = self._kept.current(tenant_id, subject)
        if key is not None:
            return key
        turn = self._turns.get((tenant_id, subject))
        if turn is None:
            turn = self._turns[tenant_id, subject] = asyncio.Lock()
        async with turn:
            return self._kept.current(tenant_id, subject) or await self._current(tenant_id, subject)

    async def opening(self, tenant_id: TenantId, key_ids: Collection[str]) -> Mapping[str, ContentKey | None]:
        found = self._kept.found(tenant_id, key_ids)
        missing = [key_id for key_id in key_ids if key_id not in found]
        if missing:
            async with self._database.read(tenant_id) as tx:
                rows = await tx.rows(_BY_ID, {"tenant_id": tenant_id, "key_ids": missing}, Row)
            for row in rows:
                try:
                    self._kept.keep(tenant_id, row.key_id, await self._unwrapped(row))
                except SecretUnreadable:  # the key that wraps it is not there: as if it were not there itself
                    continue
            found = self._kept.found(tenant_id, key_ids)
        return found

    async def ids(self, tenant_id: TenantId, subject: str | None) -> list[str]:
        async with self._database.read(tenant_id) as tx:
            rows = await tx.rows(_IDS, {"tenant_id": tenant_id, "subject": subject}, Id)
        return [row.key_id for row in rows]

    async def destroy(self, tenant_id: TenantId, key_ids: Collection[str], at: datetime) -> None:
        self._kept.forget(tenant_id, key_ids)
        async with self._database.tenant(tenant_id) as tx:
            await tx.run(_DESTROY, {"tenant_id": tenant_id, "key_ids": list(key_ids), "at": at})
            await tx.run(_DROP_ANSWERS, {"tenant_id": tenant_id, "at": at})

    def forget(self, tenant_id: TenantId, key_ids: Collection[str]) -> None:
        """They were destroyed: whatever the database says, they are never used again."""
        self._kept.forget(tenant_id, key_ids)

    async def _current(self, tenant_id: TenantId, subject: str) -> ContentKey:
        """Of all who make a key at once, all are given the first."""
        about = {"tenant_id": tenant_id, "subject": subject}
        for _ in range(MAX_ATTEMPTS):
            async with self._database.tenant(tenant_id) as tx:
                row = await tx.row(_CURRENT, about, Row)
                if row is None:
                    await self._make(tx, about)
                    row = await tx.row(_CURRENT, about, Row)
            if row is not None and self._kept.is_destroyed(tenant_id, row.key_id):  # by an older database it is back
                await self.destroy(tenant_id, [row.key_id], datetime.now(UTC))
            elif row is not None:
                key = await self._unwrapped(row)
                assert key is not None, "only keys that are there were asked for"
                self._kept.keep(tenant_id, key.key_id, key)
                self._kept.keep_current(tenant_id, subject, key)
                return key
        raise Unavailable("a key for the content")

    async def _make(self, tx: SqlTx, about: Mapping[str, str]) -> None:
        wrapped = await self._wrapping.wrap(secrets.token_bytes(KEY_BYTES))
        made = {"key_id": new_key_id(), "wrapping_key_id": key_id_of(wrapped), "wrapped_key": wrapped}
        await tx.run(_MAKE, {**about, **made})

    async def _unwrapped(self, row: Row) -> ContentKey | None:
        if row.wrapped_key is None:
            return None
        return ContentKey(row.key_id, await self._wrapping.unwrap(row.wrapped_key))
