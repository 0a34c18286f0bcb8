"""Wrapping the keys of a tenant's secrets anew, while they are in use: a batch at a time, the secrets untouched.

What is sealed meanwhile is sealed with the current key already. Interrupted, it goes on where it was.
"""

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.vault.sealing import Sealed, data_key, key_id_of, rewrap
from fairlead.ports import KeyEncryption, SqlDatabase, SqlTx

BATCH = 100

_NEXT = """
SELECT holder_id, version, wrapped_key, nonce, body
  FROM vault_secrets
 WHERE tenant_id = %(tenant_id)s AND key_id <> %(current)s AND holder_id > %(after)s
 ORDER BY holder_id
 LIMIT %(batch)s
"""
# A row that was sealed anew meanwhile has another version, or another wrapping, and is left as it is.
_WRAP = """
UPDATE vault_secrets
   SET key_id = %(key_id)s, wrapped_key = %(wrapped_key)s
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND version = %(version)s AND wrapped_key = %(before)s
"""


_NEXT_CONTENT = """
SELECT key_id, wrapped_key
  FROM content_keys
 WHERE tenant_id = %(tenant_id)s AND wrapping_key_id <> %(current)s AND key_id > %(after)s
 ORDER BY key_id
 LIMIT %(batch)s
"""
_WRAP_CONTENT = """
UPDATE content_keys
   SET wrapping_key_id = %(wrapping_key_id)s, wrapped_key = %(wrapped_key)s
 WHERE tenant_id = %(tenant_id)s AND key_id = %(key_id)s AND wrapped_key = %(before)s
"""


class ContentRow(Struct, frozen=True, kw_only=True):
    key_id: str
    wrapped_key: bytes

    def __repr__(self) -> str:
        return f"ContentRow({self.key_id!r})"


class Row(Struct, frozen=True, kw_only=True):
    holder_id: str
    version: int
    wrapped_key: bytes
    nonce: bytes
    body: bytes

    @property
    def sealed(self) -> Sealed:
        return Sealed(wrapped_key=self.wrapped_key, nonce=self.nonce, body=self.body)


async def current_key_id(keys: KeyEncryption) -> str:
    return key_id_of((await data_key(keys)).wrapped)


async def rotate_tenant(database: SqlDatabase, keys: KeyEncryption, tenant_id: TenantId) -> int:
    """How many secrets and keys of content have been wrapped anew.

    Raises SecretUnreadable at the first whose key is not there.
    """
    current = await current_key_id(keys)
    return await _rotate_secrets(database, keys, tenant_id, current) + await _rotate_content(
        database, keys, tenant_id, current
    )


async def _rotate_content(database: SqlDatabase, keys: KeyEncryption, tenant_id: TenantId, current: str) -> int:
    after, count = "", 0
    while True:
        wanted = {"tenant_id": tenant_id, "current": current, "after": after, "batch": BATCH}
        async with database.tenant(tenant_id) as tx:
            rows = await tx.rows(_NEXT_CONTENT, wanted, ContentRow)
        if not rows:
            return count
        changes = []
        for row in rows:
            wrapped = await keys.wrap(await keys.unwrap(row.wrapped_key))
            place = {"tenant_id": tenant_id, "key_id": row.key_id, "before": row.wrapped_key}
            changes.append({**place, "wrapping_key_id": key_id_of(wrapped), "wrapped_key": wrapped})
        async with database.tenant(tenant_id) as tx:
            await tx.run_many(_WRAP_CONTENT, changes)
        after, count = rows[-1].key_id, count + len(rows)


async def _rotate_secrets(database: SqlDatabase, keys: KeyEncryption, tenant_id: TenantId, current: str) -> int:
    after, count = "", 0
    while True:
        wanted = {"tenant_id": tenant_id, "current": current, "after": after, "batch": BATCH}
        async with database.tenant(tenant_id) as tx:
            rows = await tx.rows(_NEXT, wanted, Row)
        if not rows:
            return count
        wrapped = [(row, await rewrap(keys, row.sealed)) for row in rows]  # a KMS may take its time: no row is held
        async with database.tenant(tenant_id) as tx:
            await _write(tx, tenant_id, wrapped)
        after, count = rows[-1].holder_id, count + len(rows)


async def _write(tx: SqlTx, tenant_id: TenantId, wrapped: list[tuple[Row, Sealed]]) -> None:
    changes = [
        {
            "tenant_id": tenant_id,
            "holder_id": row.holder_id,
            "version": row.version,
            "before": row.wrapped_key,
            "key_id": sealed.key_id,
            "wrapped_key": sealed.wrapped_key,
        }
        for row, sealed in wrapped
    ]
    await tx.run_many(_WRAP, changes)
