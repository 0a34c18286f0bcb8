"""A tenant's tree as the database holds it: nodes for proofs, and heads that are signed."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from fairlead_ledger.heads import Head, signed_head
from fairlead_ledger.keys import Signer
from fairlead_ledger.leaves import Place
from fairlead_ledger.merkle import (
    HASH_BYTES,
    Node,
    Range,
    consistency_ranges,
    folded,
    hashed,
    inclusion_ranges,
    nodes_of,
    peaks_of,
)
from msgspec import Struct

from fairlead.domain.errors import NotFound
from fairlead.handling.swift_leaves import leaf_text_of
from fairlead.ports import SqlTx

_SIZE = "SELECT size FROM ledger_trees WHERE tenant_id = app_tenant()"
_SIZE_AT = """
SELECT leaf + 1 AS size
  FROM ledger_commits
 WHERE tenant_id = app_tenant() AND sequence <= %(sequence)s
 ORDER BY sequence DESC
 LIMIT 1
"""
_LAST_OF = "SELECT leaf, sequence FROM ledger_commits WHERE tenant_id = app_tenant() AND leaf = %(leaf)s"
_BODY = "SELECT body, leaf_text FROM ledger_commits WHERE tenant_id = app_tenant() AND leaf = %(leaf)s"
_BY_SEQUENCE = """
SELECT tenant_id, leaf, shard, sequence, kind, stream_id, message_id, hashes
  FROM ledger_commits
 WHERE tenant_id = app_tenant() AND sequence = ANY (%(sequences)s)
"""
_BY_LEAF = """
SELECT leaf, hashes FROM ledger_commits WHERE tenant_id = app_tenant() AND leaf = ANY (%(leaves)s)
"""
_LEFT_OF_REMOVED = """
SELECT n.level, n.number, n.hash
  FROM unnest(%(levels)s::smallint[], %(numbers)s::bigint[]) AS wanted (level, number)
  JOIN ledger_nodes AS n USING (level, number)
 WHERE n.tenant_id = app_tenant()
"""
_KEEP_HEAD = """
INSERT INTO ledger_heads (tenant_id, size, at, root, key_id, signature)
VALUES (app_tenant(), %(size)s, %(at)s, %(root)s, %(key_id)s, %(signature)s)
    ON CONFLICT DO NOTHING
"""
_HEADS = """
SELECT tenant_id, size, at, root, key_id, signature
  FROM ledger_heads
 WHERE tenant_id = app_tenant() AND (size, at) < (%(size)s, %(at)s)
 ORDER BY size DESC, at DESC
 LIMIT %(limit)s
"""


class NoSuchLeaf(NotFound):
    """The ledger holds no such commit, or not yet."""

    code = "not_in_ledger"


class KeptCommit(Struct, frozen=True, kw_only=True):
    """`hashes` are those of the leaf and of the nodes that became whole with it."""

    tenant_id: str
    leaf: int
    shard: int
    sequence: int
    kind: str
    stream_id: str
    message_id: str
    hashes: bytes

    @property
    def leaf_hash(self) -> bytes:
        return self.hashes[:HASH_BYTES]

    @property
    def place(self) -> Place:
        return Place(self.shard, self.sequence, self.tenant_id, self.kind, self.stream_id, self.message_id)


class _Place(Struct, frozen=True):
    leaf: int
    sequence: int


class _Hashes(Struct, frozen=True):
    leaf: int
    hashes: bytes


class _NodeRow(Struct, frozen=True):
    level: int
    number: int
    hash: bytes


class _Body(Struct, frozen=True):
    body: bytes | None
    leaf_text: bytes | None


class _Size(Struct, frozen=True):
    size: int


class _HeadRow(Struct, frozen=True, kw_only=True):
    tenant_id: str
    size: int
    at: datetime
    root: bytes
    key_id: str
    signature: bytes


async def size_of(tx: SqlTx) -> int:
    found = await tx.row(_SIZE, None, _Size)
    return found.size if found else 0


async def size_at(tx: SqlTx, sequence: int) -> int:
    """Of the tree as it was when the log had come to this place."""
    found = await tx.row(_SIZE_AT, {"sequence": sequence}, _Size)
    return found.size if found else 0


async def sequence_of(tx: SqlTx, size: int) -> int:
    """The place on the log of the last commit of a tree of this size. Raises NoSuchLeaf."""
    if size == 0:
        return 0
    found = await tx.row(_LAST_OF, {"leaf": size - 1}, _Place)
    if found is None:
        raise NoSuchLeaf(f"the ledger has not come to {size} commits")
    return found.sequence


async def kept(tx: SqlTx, sequences: Sequence[int]) -> dict[int, KeptCommit]:
    """By place on the log."""
    rows = await tx.rows(_BY_SEQUENCE, {"sequences": list(sequences)}, KeptCommit)
    return {row.sequence: row for row in rows}


async def text_of(tx: SqlTx, kept: KeptCommit) -> bytes:
    """What is hashed as the commit's leaf, whether it has expired or not. Raises NoSuchLeaf."""
    found = await tx.row(_BODY, {"leaf": kept.leaf}, _Body)
    if found is None:
        raise NoSuchLeaf(f"the ledger has no leaf {kept.leaf}")
    if found.leaf_text is not None:
        return found.leaf_text
    assert found.body is not None, "a row has the one or the other"
    return leaf_text_of(kept.place, found.body)


async def nodes(tx: SqlTx, wanted: Iterable[Node]) -> dict[Node, bytes]:
    """A node lies with the leaf that made it whole, or apart where that was removed. Raises NoSuchLeaf."""
    chosen = list(wanted)
    rows = await tx.rows(_BY_LEAF, {"leaves": sorted({node.last_leaf for node in chosen})}, _Hashes)
    by_leaf = {row.leaf: row.hashes for row in rows}
    found = {node: _at_level(by_leaf[node.last_leaf], node.level) for node in chosen if node.last_leaf in by_leaf}
    if left := [node for node in chosen if node not in found]:
        where = {"levels": [node.level for node in left], "numbers": [node.number for node in left]}
        found |= {Node(row.level, row.number): row.hash for row in await tx.rows(_LEFT_OF_REMOVED, where, _NodeRow)}
    for node in left:
        if node not in found:
            raise NoSuchLeaf(f"the ledger has no leaf {node.last_leaf}, or keeps it no longer")
    return {node: found[node] for node in chosen}


async def root_of(tx: SqlTx, size: int) -> bytes:
    peaks = peaks_of(size)
    found = await nodes(tx, peaks) if peaks else {}
    return folded([found[peak] for peak in peaks])


async def inclusion(tx: SqlTx, leaf: int, size: int) -> list[bytes]:
    return await _hashed(tx, inclusion_ranges(leaf, size))


async def consistency(tx: SqlTx, old_size: int, size: int) -> list[bytes]:
    return await _hashed(tx, consistency_ranges(old_size, size))


async def head_at(tx: SqlTx, signer: Signer, tenant_id: str, size: int, now: datetime) -> Head:
    """The signed head of the tree at this size. Raises NoSuchLeaf."""
    return signed_head(signer, tenant_id, size, await root_of(tx, size), as_text(now))


async def sign_head(tx: SqlTx, signer: Signer, tenant_id: str, size: int, now: datetime) -> Head:
    """The same, kept as well. `tx` is fenced to the tenant."""
    head = await head_at(tx, signer, tenant_id, size, now)
    root, signature = bytes.fromhex(head.root), bytes.fromhex(head.signature)
    await tx.run(_KEEP_HEAD, {"size": size, "at": now, "root": root, "key_id": head.key_id, "signature": signature})
    return head


async def heads(tx: SqlTx, before_size: int, before_at: datetime, limit: int) -> list[Head]:
    """Signed ones, newest first."""
    rows = await tx.rows(_HEADS, {"size": before_size, "at": before_at, "limit": limit}, _HeadRow)
    return [
        Head(row.tenant_id, row.size, row.root.hex(), as_text(row.at), row.key_id, row.signature.hex()) for row in rows
    ]


def as_text(at: datetime) -> str:
    return msgspec.json.encode(at)[1:-1].decode()


async def _hashed(tx: SqlTx, ranges: Sequence[Range]) -> list[bytes]:
    found = await nodes(tx, [node for span in ranges for node in nodes_of(span)]) if ranges else {}
    return hashed(ranges, found.__getitem__)


def _at_level(hashes: bytes, level: int) -> bytes:
    return hashes[HASH_BYTES * level : HASH_BYTES * (level + 1)]
