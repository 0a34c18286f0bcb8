"""What of a ledger has expired or is just being removed, and whether the ledger itself says so."""

from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.ports import SqlSession, SqlTx

T = TypeVar("T")
Going = Mapping[str, AbstractSet[int]]  # places by tenant
NONE: Going = {}

_TENANTS = "SELECT tenant_id, size FROM ledger_trees WHERE shard = %(shard)s ORDER BY tenant_id"
# What removals that are not at their end yet name: it may be gone from the log, and from read models, already.
_GOING = """
SELECT s.sequence::bigint AS sequence
  FROM expiries AS e
  JOIN ledger_commits AS f ON f.tenant_id = e.tenant_id AND f.sequence = e.sequence
  CROSS JOIN LATERAL (
       SELECT jsonb_path_query(convert_from(f.body, 'UTF8')::jsonb, '$.events[0].runs[*].sequences[*]')
        UNION ALL
       SELECT jsonb_path_query(convert_from(f.body, 'UTF8')::jsonb, '$.events[0].sequences[*]')) AS s (sequence)
 WHERE e.tenant_id = %(tenant)s AND e.removed_at IS NULL
"""
# Bodies that are gone, and nothing in the ledger says that they have expired.
_UNFOUNDED = """
SELECT c.sequence
  FROM ledger_commits AS c
 WHERE c.tenant_id = %(tenant)s AND c.body IS NULL AND NOT EXISTS (
       SELECT
         FROM ledger_commits AS f
        WHERE f.tenant_id = c.tenant_id AND f.sequence = c.expired_by AND f.sequence > c.sequence
          AND CASE WHEN c.kind <> 'access' THEN f.kind = 'run' AND f.stream_id = run_of(c.kind, c.stream_id) AND
                       convert_from(f.body, 'UTF8')::jsonb #>> '{events,0,type}' = 'run.content_expired.v1'
                   ELSE f.kind = 'expiry' AND
                       convert_from(f.body, 'UTF8')::jsonb #> '{events,0,sequences}' @> to_jsonb(c.sequence) END)
 ORDER BY c.sequence
 LIMIT 100
"""


class Tree(Struct, frozen=True):
    tenant_id: TenantId
    size: int


class _At(Struct, frozen=True):
    sequence: int


async def going_of(session: SqlSession, shard: int) -> Going:
    """`session` is the owner's, as for all that is here."""

    async def of(tx: SqlTx, tree: Tree) -> list[tuple[str, int]]:
        return [(tree.tenant_id, row.sequence) for row in await tx.rows(_GOING, {"tenant": tree.tenant_id}, _At)]

    found: dict[str, set[int]] = {}
    for pairs in await each_tenant(session, shard, of):
        for tenant_id, sequence in pairs:
            found.setdefault(tenant_id, set()).add(sequence)
    return found


async def unfounded(session: SqlSession, shard: int) -> list[tuple[str, int]]:
    """Some commits whose bodies are gone without a word."""

    async def of(tx: SqlTx, tree: Tree) -> list[tuple[str, int]]:
        return [(tree.tenant_id, row.sequence) for row in await tx.rows(_UNFOUNDED, {"tenant": tree.tenant_id}, _At)]

    return [pair for pairs in await each_tenant(session, shard, of) for pair in pairs]


async def each_tenant(
    session: SqlSession, shard: int, ask: Callable[[SqlTx, Tree], Awaitable[list[T]]]
) -> list[list[T]]:
    async with session.transaction() as tx:
        found = []
        for tree in await tx.rows(_TENANTS, {"shard": shard}, Tree):
            await tx.fence(tree.tenant_id)
            found.append(await ask(tx, tree))
    return found
