"""Do the keys that are configured open what is sealed in the vault; is one missing, and is one there for nothing."""

from collections.abc import AsyncIterable, Iterator, Sequence

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.adapters.doctor.finding import Finding, fail, ok, warn
from fairlead.adapters.vault.keys import Key, KeyRing
from fairlead.domain.connections.errors import SecretUnreadable
from fairlead.ports import SqlDatabase

PAGE = 500
_NAME = "vault keys"
_RUNBOOK = "docs/runbooks/leaked-credential.md"

# The keys of secrets are tried, the secrets themselves are not opened: their bodies are not even read.
_SEALED = """
SELECT holder_id, key_id, wrapped_key
  FROM (SELECT holder_id, key_id, wrapped_key
          FROM vault_secrets
         WHERE tenant_id = %(tenant_id)s AND key_id IS NOT NULL
         UNION ALL
        SELECT 'content:' || key_id, wrapping_key_id, wrapped_key
          FROM content_keys
         WHERE tenant_id = %(tenant_id)s AND wrapping_key_id IS NOT NULL) AS held
 WHERE holder_id > %(after)s
 ORDER BY holder_id
 LIMIT %(page)s
"""


class _Row(Struct, frozen=True, kw_only=True):
    holder_id: str
    key_id: str
    wrapped_key: bytes


class Sealed(Struct, kw_only=True):
    """What is sealed with one key, of how many tenants, and how much of it the key does not open."""

    secrets: int = 0
    tenants: int = 0
    unopened: int = 0


async def examine_vault(database: SqlDatabase, tenants: AsyncIterable[TenantId], keys: Sequence[Key]) -> list[Finding]:
    """`database` is connected as the role for requests. Raises Unavailable."""
    found: dict[str, Sealed] = {}
    ring = KeyRing(tuple(keys)) if keys else None
    async for tenant_id in tenants:
        await _look(database, tenant_id, ring, found)
    if not keys and not found:
        return [ok(_NAME, "none yet, and nothing is sealed; one is made at first use")]
    return list(_findings(found, [key.key_id for key in keys]))


async def _look(database: SqlDatabase, tenant_id: TenantId, ring: KeyRing | None, found: dict[str, Sealed]) -> None:
    after, seen = "", set[str]()
    while True:
        async with database.read(tenant_id) as tx:
            rows = await tx.rows(_SEALED, {"tenant_id": tenant_id, "after": after, "page": PAGE}, _Row)
        for row in rows:
            sealed = found.setdefault(row.key_id, Sealed())
            sealed.secrets += 1
            sealed.tenants += row.key_id not in seen
            sealed.unopened += not await _opens(ring, row)
            seen.add(row.key_id)
        if len(rows) < PAGE:
            return
        after = rows[-1].holder_id


async def _opens(ring: KeyRing | None, row: _Row) -> bool:
    try:
        return ring is not None and bool(await ring.unwrap(row.wrapped_key))
    except SecretUnreadable:
        return False


def _findings(found: dict[str, Sealed], configured: list[str]) -> Iterator[Finding]:
    """First those of the list in their order, then those that it lacks."""
    for place, key_id in enumerate(configured):
        yield _of_list(key_id, found.get(key_id, Sealed()), is_current=place == 0)
    for key_id, sealed in found.items():
        if key_id not in configured:
            detail = f"is not in the list, and {_amount(sealed)} are sealed with it: nobody can open them"
            mend = f"put it back from its backup; without one give access to those accounts anew ({_RUNBOOK})"
            yield fail(f"vault key {key_id}", detail, mend)


def _of_list(key_id: str, sealed: Sealed, *, is_current: bool) -> Finding:
    name = f"vault key {key_id}"
    if sealed.unopened == sealed.secrets > 0:
        detail = f"opens none of the {_amount(sealed)} that were sealed under its name: it is another key"
        return fail(
            name, detail, f"put back the key that had this name, and give this one a name of its own ({_RUNBOOK})"
        )
    if sealed.unopened:
        detail = f"does not open {sealed.unopened} of {_amount(sealed)}: they were altered, or sealed elsewhere"
        return fail(
            name, detail, f"restore the table vault_secrets, or give access to those accounts anew ({_RUNBOOK})"
        )
    if is_current:
        return ok(name, f"is the current one and opens all {_amount(sealed)} that are sealed with it")
    if sealed.secrets:
        return warn(
            name, f"is not the current one, and {_amount(sealed)} are sealed with it", "run `fairlead vault rotate`"
        )
    mend = "take it out of the list; keep it elsewhere while a backup from before the last rotation may be restored"
    return warn(name, "is in the list, and nothing is sealed with it any more", mend)


def _amount(sealed: Sealed) -> str:
    return f"{sealed.secrets} secret(s) of {sealed.tenants} tenant(s)"
