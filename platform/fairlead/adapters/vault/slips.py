"""Secrets that are needed for minutes, sealed like the vault's: each is found by a name that only its owner has."""

import hashlib

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.vault.sealing import Place, Sealed, open_sealed, seal
from fairlead.ports import KeyEncryption, SqlDatabase

ONCE = 1  # the version in the seal: a slip is not replaced by another that could be mistaken for it

_KEEP = """
INSERT INTO vault_slips (tenant_id, name_sha256, wrapped_key, nonce, body, expires_at)
VALUES (%(tenant_id)s, %(name)s, %(wrapped_key)s, %(nonce)s, %(body)s,
        clock_timestamp() + make_interval(secs => %(life_s)s))
    ON CONFLICT (tenant_id, name_sha256) DO UPDATE
   SET wrapped_key = excluded.wrapped_key, nonce = excluded.nonce, body = excluded.body,
       expires_at = excluded.expires_at
"""
_READ = """
SELECT wrapped_key, nonce, body
  FROM vault_slips
 WHERE tenant_id = %(tenant_id)s AND name_sha256 = %(name)s AND expires_at > clock_timestamp()
"""
_TAKE = """
DELETE FROM vault_slips
 WHERE tenant_id = %(tenant_id)s AND name_sha256 = %(name)s
RETURNING wrapped_key, nonce, body, expires_at > clock_timestamp() AS in_time
"""
_FORGET = """
DELETE FROM vault_slips
 WHERE (tenant_id, name_sha256) IN (
       SELECT tenant_id, name_sha256 FROM vault_slips
        WHERE tenant_id = %(tenant_id)s AND expires_at <= clock_timestamp()
        LIMIT 100)
"""


class Row(Struct, frozen=True, kw_only=True):
    wrapped_key: bytes
    nonce: bytes
    body: bytes
    in_time: bool = True

    def __repr__(self) -> str:
        return "Row(…)"


class PostgresSlips:
    def __init__(self, database: SqlDatabase, keys: KeyEncryption) -> None:
        self._database = database
        self._keys = keys

    async def keep(self, tenant_id: TenantId, name: str, body: bytes, life_s: float) -> None:
        sealed = await seal(self._keys, _place(tenant_id, name), body)
        row = {
            "tenant_id": tenant_id,
            "name": _hash(name),
            "wrapped_key": sealed.wrapped_key,
            "nonce": sealed.nonce,
            "body": sealed.body,
            "life_s": life_s,
        }
        async with self._database.tenant(tenant_id) as tx:
            await tx.run(_FORGET, {"tenant_id": tenant_id})
            await tx.run(_KEEP, row)

    async def read(self, tenant_id: TenantId, name: str) -> bytes | None:
        async with self._database.read(tenant_id) as tx:
            row = await tx.row(_READ, {"tenant_id": tenant_id, "name": _hash(name)}, Row)
        return await self._opened(tenant_id, name, row)

    async def take(self, tenant_id: TenantId, name: str) -> bytes | None:
        async with self._database.tenant(tenant_id) as tx:
            row = await tx.row(_TAKE, {"tenant_id": tenant_id, "name": _hash(name)}, Row)
        return await self._opened(tenant_id, name, row)

    async def _opened(self, tenant_id: TenantId, name: str, row: Row | None) -> bytes | None:
        if row is None or not row.in_time:
            return None
        sealed = Sealed(wrapped_key=row.wrapped_key, nonce=row.nonce, body=row.body)
        return await open_sealed(self._keys, _place(tenant_id, name), sealed)


def _place(tenant_id: TenantId, name: str) -> Place:
    return Place(tenant_id=tenant_id, holder_id=f"slip:{_hash(name).hex()}", version=ONCE)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
