"""The vault in PostgreSQL. A row is one holder's secret; it opens for that tenant, holder and version only."""

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.vault.sealing import DataKey, Place, Sealed, data_key, open_sealed, seal_with
from fairlead.domain.errors import Invalid, Problem
from fairlead.ports import KeyEncryption, Secret, SqlDatabase, SqlTx, Turn

MAX_SECRET_BYTES = 64 * 1024

# The version has to be known before the secret can be sealed: the first statement takes the row and the number.
_NEXT_VERSION = """
INSERT INTO vault_secrets AS held (tenant_id, holder_id, version)
VALUES (%(tenant_id)s, %(holder_id)s, 1)
ON CONFLICT (tenant_id, holder_id) DO UPDATE SET version = held.version + 1
RETURNING version
"""
_FILL = """
UPDATE vault_secrets
   SET key_id = %(key_id)s, wrapped_key = %(wrapped_key)s, nonce = %(nonce)s, body = %(body)s,
       leased_until = NULL, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND version = %(version)s
"""
_READ = """
SELECT version, wrapped_key, nonce, body
  FROM vault_secrets
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND body IS NOT NULL
"""
_ERASE = """
UPDATE vault_secrets
   SET key_id = NULL, wrapped_key = NULL, nonce = NULL, body = NULL, version = version + 1,
       leased_until = NULL, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND version = %(version)s AND body IS NOT NULL
RETURNING version
"""
_TAKE_TURN = """
UPDATE vault_secrets
   SET fence = fence + 1, leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND version = %(version)s AND body IS NOT NULL
   AND (leased_until IS NULL OR leased_until <= clock_timestamp())
RETURNING version, wrapped_key, nonce, body, fence
"""
_ADVANCE = """
UPDATE vault_secrets
   SET version = version + 1, key_id = %(key_id)s, wrapped_key = %(wrapped_key)s, nonce = %(nonce)s, body = %(body)s,
       leased_until = NULL, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND version = %(version)s AND fence = %(fence)s
   AND body IS NOT NULL
RETURNING version
"""
_LEAVE = """
UPDATE vault_secrets
   SET leased_until = NULL
 WHERE tenant_id = %(tenant_id)s AND holder_id = %(holder_id)s AND version = %(version)s AND fence = %(fence)s
"""


class Held(Struct, frozen=True, kw_only=True):
    version: int
    wrapped_key: bytes
    nonce: bytes
    body: bytes
    fence: int = 0

    @property
    def sealed(self) -> Sealed:
        return Sealed(wrapped_key=self.wrapped_key, nonce=self.nonce, body=self.body)

    def __repr__(self) -> str:
        return f"Held(version={self.version})"


class Numbered(Struct, frozen=True):
    version: int


class PostgresVault:
    """`database` is connected as the role for requests: no consumer may read the table."""

    def __init__(self, database: SqlDatabase, keys: KeyEncryption) -> None:
        self._database = database
        self._keys = keys

    async def put(self, tenant_id: TenantId, holder_id: str, body: bytes) -> int:
        _check_size(body)
        key = await data_key(self._keys)
        async with self._database.tenant(tenant_id) as tx:
            return await _put(tx, key, tenant_id, holder_id, body)

    async def get(self, tenant_id: TenantId, holder_id: str) -> Secret | None:
        async with self._database.read(tenant_id) as tx:
            held = await tx.row(_READ, {"tenant_id": tenant_id, "holder_id": holder_id}, Held)
        return await self._opened(tenant_id, holder_id, held) if held else None

    async def erase(self, tenant_id: TenantId, holder_id: str, version: int) -> bool:
        gone = {"tenant_id": tenant_id, "holder_id": holder_id, "version": version}
        async with self._database.tenant(tenant_id) as tx:
            return await tx.row(_ERASE, gone, Numbered) is not None

    async def take_turn(self, tenant_id: TenantId, holder_id: str, version: int, lease_s: float) -> Turn | None:
        wanted = {"tenant_id": tenant_id, "holder_id": holder_id, "version": version, "lease_s": lease_s}
        async with self._database.tenant(tenant_id) as tx:
            held = await tx.row(_TAKE_TURN, wanted, Held)
        if held is None:
            return None
        return Turn(secret=await self._opened(tenant_id, holder_id, held), fence=held.fence)

    async def end_turn(self, tenant_id: TenantId, holder_id: str, turn: Turn, body: bytes | None) -> int | None:
        mine = {
            "tenant_id": tenant_id,
            "holder_id": holder_id,
            "version": turn.secret.version,
            "fence": turn.fence,
        }
        if body is None:
            async with self._database.tenant(tenant_id) as tx:
                await tx.run(_LEAVE, mine)
            return None
        _check_size(body)
        place = Place(tenant_id=tenant_id, holder_id=holder_id, version=turn.secret.version + 1)
        sealed = seal_with(await data_key(self._keys), place, body)
        async with self._database.tenant(tenant_id) as tx:
            ended = await tx.row(_ADVANCE, {**mine, **_columns(sealed)}, Numbered)
        return ended.version if ended else None

    async def _opened(self, tenant_id: TenantId, holder_id: str, held: Held) -> Secret:
        place = Place(tenant_id=tenant_id, holder_id=holder_id, version=held.version)
        return Secret(version=held.version, body=await open_sealed(self._keys, place, held.sealed))


async def _put(tx: SqlTx, key: DataKey, tenant_id: TenantId, holder_id: str, body: bytes) -> int:
    holder = {"tenant_id": tenant_id, "holder_id": holder_id}
    taken = await tx.row(_NEXT_VERSION, holder, Numbered)
    assert taken is not None, "an insert or update of one row returns it"
    sealed = seal_with(key, Place(tenant_id=tenant_id, holder_id=holder_id, version=taken.version), body)
    await tx.run(_FILL, {**holder, "version": taken.version, **_columns(sealed)})
    return taken.version


def _columns(sealed: Sealed) -> dict[str, str | bytes]:
    return {
        "key_id": sealed.key_id,
        "wrapped_key": sealed.wrapped_key,
        "nonce": sealed.nonce,
        "body": sealed.body,
    }


def _check_size(body: bytes) -> None:
    if not 1 <= len(body) <= MAX_SECRET_BYTES:
        problem = Problem(path="", message=f"a secret has 1 to {MAX_SECRET_BYTES} bytes", code="size")
        raise Invalid([problem], "the secret cannot be kept")
