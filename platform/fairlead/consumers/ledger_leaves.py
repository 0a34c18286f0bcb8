"""Leaves of a ledger that are kept no longer: which they are, and how they go so that what remains is still proved.

Of what is removed, the nodes stay that proofs of the rest are made of: of each complete part of the tree of which
nothing is left its root alone, unless a head that still counts ends within it.
"""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead_ledger.merkle import Frontier, Node
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.consumers.ledger_expired import each_tenant
from fairlead.ports import SqlSession, SqlTx

LEAVES = 1_000  # of one expiry

# What expired before, whose run nobody holds since.
_OLD = """
SELECT sequence
  FROM ledger_commits
 WHERE tenant_id = %(tenant)s AND body IS NULL AND at < %(before)s
   AND (run_of(kind, stream_id) IS NULL OR NOT run_of(kind, stream_id) = ANY (%(held_runs)s))
 ORDER BY at, sequence
 LIMIT %(limit)s
"""
_SYNCED = "SET LOCAL synchronous_commit = on"
_SAY = "SELECT set_config('fairlead.gone_by', %(fact)s::text, true)"
# A node lies with the leaf that made it whole.
_KEEP_NODES = """
INSERT INTO ledger_nodes (tenant_id, level, number, hash)
SELECT c.tenant_id, n.level, c.leaf >> n.level, substring(c.hashes FROM 32 * n.level + 1 FOR 32)
  FROM ledger_commits AS c
 CROSS JOIN LATERAL generate_series(0, octet_length(c.hashes) / 32 - 1) AS n (level)
 WHERE c.tenant_id = %(tenant)s AND c.sequence = ANY (%(sequences)s) AND c.body IS NULL
    ON CONFLICT DO NOTHING
"""
_REMOVE = """
DELETE FROM ledger_commits
 WHERE tenant_id = %(tenant)s AND sequence = ANY (%(sequences)s) AND body IS NULL
RETURNING leaf
"""
# Below the root of a part of which nothing is left, and in which no head ends that was signed since, nor the newest.
_FOLD = """
DELETE FROM ledger_nodes AS n
 USING ledger_nodes AS p
 WHERE n.tenant_id = %(tenant)s AND p.tenant_id = n.tenant_id AND p.level = n.level + 1 AND p.number = n.number >> 1
   AND (n.number << n.level) <= %(last)s AND ((n.number + 1) << n.level) > %(first)s
   AND NOT EXISTS (SELECT FROM ledger_commits AS c
                    WHERE c.tenant_id = n.tenant_id
                      AND c.leaf >= (p.number << p.level) AND c.leaf < ((p.number + 1) << p.level))
   AND NOT EXISTS (SELECT FROM ledger_heads AS h
                    WHERE h.tenant_id = n.tenant_id
                      AND (h.at >= %(heads_from)s OR h.size = (SELECT max(size) FROM ledger_heads
                                                                WHERE tenant_id = %(tenant)s))
                      AND h.size > (p.number << p.level) AND h.size < ((p.number + 1) << p.level))
"""
_NODES = "SELECT level, number, hash FROM ledger_nodes WHERE tenant_id = %(tenant)s"
_NAMED = """
SELECT DISTINCT s.sequence::bigint AS sequence
  FROM ledger_commits AS f
 CROSS JOIN LATERAL jsonb_array_elements(convert_from(f.body, 'UTF8')::jsonb #> '{events,0,sequences}') AS s (sequence)
 WHERE f.tenant_id = %(tenant)s AND f.kind = 'expiry'
   AND convert_from(f.body, 'UTF8')::jsonb #>> '{events,0,type}' = 'expiry.leaves_begun.v1'
   AND NOT EXISTS (SELECT FROM ledger_commits AS c WHERE c.tenant_id = f.tenant_id AND c.sequence = s.sequence::bigint)
"""
_LEFT = "SELECT count(*) AS leaves FROM ledger_commits WHERE tenant_id = %(tenant)s"

Nodes = Mapping[Node, bytes]


class _At(Struct, frozen=True):
    sequence: int


class _Leaf(Struct, frozen=True):
    leaf: int


class _Left(Struct, frozen=True):
    leaves: int


class _NodeRow(Struct, frozen=True):
    level: int
    number: int
    hash: bytes


class Removed(Struct, frozen=True):
    """Of the ledgers of a shard: places on the log whose leaves are gone as was said, in order; by tenant the nodes
    that stand for them; and how many leaves are gone of which nothing was said."""

    sequences: "array[int]"
    nodes: Mapping[str, Nodes]
    unsaid: Mapping[str, int]

    def unknown(self, first: int, last: int) -> int:
        """How many of these places are not among them; `last` is exclusive."""
        return last - first - (bisect_left(self.sequences, last) - bisect_left(self.sequences, first))


async def old_leaves(
    session: SqlSession, tenant_id: TenantId, before: datetime, held_runs: Sequence[str]
) -> tuple[int, ...]:
    """Their places on the log."""
    where = {"tenant": tenant_id, "before": before, "held_runs": list(held_runs), "limit": LEAVES}
    async with session.transaction() as tx:
        await tx.fence(tenant_id)
        return tuple(row.sequence for row in await tx.rows(_OLD, where, _At))


async def remove_leaves(
    session: SqlSession, tenant_id: TenantId, fact: int, sequences: Sequence[int], heads_from: datetime
) -> None:
    """`fact` is where the ledger says so. Heads from before `heads_from` are proved no longer. Said again, it finds
    nothing."""
    where: dict[str, Any] = {"tenant": tenant_id, "sequences": list(sequences)}
    async with session.transaction() as tx:
        await tx.run(_SYNCED)
        await tx.fence(tenant_id)
        await tx.run(_SAY, {"fact": fact})
        await tx.run(_KEEP_NODES, where)
        gone = [row.leaf for row in await tx.rows(_REMOVE, where, _Leaf)]
        if gone:
            span = {"first": min(gone), "last": max(gone), "heads_from": heads_from}
            await tx.run(_FOLD, {"tenant": tenant_id, **span})


async def removed_leaves(session: SqlSession, shard: int) -> Removed:
    """`session` is the owner's."""
    nodes: dict[str, Nodes] = {}
    unsaid: dict[str, int] = {}

    async def of(tx: SqlTx, tree: Any) -> list[int]:
        where = {"tenant": tree.tenant_id}
        named = [row.sequence for row in await tx.rows(_NAMED, where, _At)]
        left = await tx.row(_LEFT, where, _Left)
        assert left is not None, "a count is always one row"
        rows = await tx.rows(_NODES, where, _NodeRow)
        nodes[tree.tenant_id] = {Node(row.level, row.number): row.hash for row in rows}
        unsaid[tree.tenant_id] = max(0, tree.size - left.leaves - len(named))
        return named

    found = [sequence for each in await each_tenant(session, shard, of) for sequence in each]
    return Removed(array("q", sorted(found)), nodes, {tenant: count for tenant, count in unsaid.items() if count})


def grow_over(tree: Frontier, size: int, nodes: Nodes) -> bool:
    """Up to `size`, over leaves that are gone; False where the nodes do not lead there."""
    while tree.size < size:
        room = min(size - tree.size, tree.size & -tree.size or size - tree.size)
        levels = range(room.bit_length() - 1, -1, -1)
        node = next((each for level in levels if (each := Node(level, tree.size >> level)) in nodes), None)
        if node is None:
            return False
        tree.append_whole(node.level, nodes[node])
    return True
