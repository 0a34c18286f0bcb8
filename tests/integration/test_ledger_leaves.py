"""Leaves that are kept no longer are gone, and every proof of what remains is the one that the whole tree gives."""

import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count, pairwise
from typing import Any

import psycopg
import pytest
from fairlead_ledger.merkle import (
    Frontier,
    Node,
    check_consistency,
    check_inclusion,
    consistency_ranges,
    hashed,
    inclusion_ranges,
    leaf_hash,
)
from fairlead_tenants.ids import TenantId

from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger_check import check
from fairlead.consumers.ledger_leaves import Removed, remove_leaves, removed_leaves
from fairlead.handling import ledgers
from fairlead.handling.ledgers import NoSuchLeaf
from fairlead.ports import SqlTx
from tests.support.clock import T0
from tests.support.database import DatabaseUrls
from tests.support.expiring import Archive
from tests.support.ids import SequentialIds

LONG_AGO, NOW = T0 - timedelta(days=3_000), T0
_tenants = count(1)
_INSERT = """
INSERT INTO ledger_commits (tenant_id, leaf, shard, sequence, kind, stream_id, message_id, headers, claimed, body,
                            hashes, leaf_text, expired_by, expired_at, at)
VALUES (%(tenant)s, %(leaf)s, 7, %(sequence)s, %(kind)s, 'x', 'm', '', false, %(body)s, %(hashes)s, %(text)s,
        CASE WHEN %(text)s::bytea IS NULL THEN NULL ELSE 1 END, now(), %(at)s)
"""
_TREE = """
INSERT INTO ledger_trees (tenant_id, shard, size, sequence, peaks) VALUES (%(tenant)s, 7, %(size)s, %(size)s, %(peaks)s)
"""
_HEAD = """
INSERT INTO ledger_heads (tenant_id, size, at, root, key_id, signature)
VALUES (%(tenant)s, %(size)s, %(at)s, %(root)s, 'k', %(signature)s)
"""


class Whole:
    """The tree as it would be if nothing ever went, and the database's."""

    def __init__(self, engine: Database) -> None:
        self.engine = engine
        self.tenant = TenantId(f"tnt_leaves{next(_tenants)}")
        self.tree = Frontier()
        self.nodes: dict[Node, bytes] = {}
        self.rows: list[dict[str, Any]] = []
        self.left: dict[int, bytes] = {}
        self.roots = {0: self.tree.root()}

    def grow(self, body: bytes | None = None) -> int:
        """With an old commit that has expired, or one with a body."""
        leaf = self.tree.size
        text = f"{self.tenant} {leaf}".encode()
        hashes = self.tree.append(leaf_hash(text))
        for level in range(len(hashes) // 32):
            self.nodes[Node(level, leaf >> level)] = hashes[32 * level : 32 * level + 32]
        self.left[leaf], self.roots[self.tree.size] = hashes[:32], self.tree.root()
        old = {"body": None, "text": text, "at": LONG_AGO, "kind": "run"}
        new = {"body": body, "text": None, "at": None, "kind": "expiry"}
        place = {"tenant": self.tenant, "leaf": leaf, "sequence": leaf + 1, "hashes": hashes}
        self.rows.append(place | (old if body is None else new))
        return leaf

    async def store(self, heads: list[int]) -> None:
        async with self.engine.tenant(self.tenant) as tx:
            await tx.run_many(_INSERT, self.rows)
            said = {"tenant": self.tenant, "size": self.tree.size, "peaks": b"".join(self.tree.peaks)}
            await tx.run(_TREE, said)
            for size in heads:
                head = {"tenant": self.tenant, "size": size, "at": NOW, "root": self.roots[size]}
                await tx.run(_HEAD, head | {"signature": b"s" * 64})

    async def remove(self, fact: int, leaves: list[int]) -> None:
        async with self.engine.session() as session:
            places = [leaf + 1 for leaf in leaves]
            await remove_leaves(session, self.tenant, fact + 1, places, LONG_AGO + timedelta(days=1))
        for leaf in leaves:
            self.left.pop(leaf, None)

    async def prove_all(self, tx: SqlTx, heads: list[int]) -> None:
        """In every tree that was signed, and in the newest."""
        sizes = sorted({*heads, self.tree.size})
        for size in sizes:
            assert await ledgers.root_of(tx, size) == self.roots[size]
            for leaf, known in self.left.items():
                if leaf < size:
                    path = await ledgers.inclusion(tx, leaf, size)
                    assert path == hashed(inclusion_ranges(leaf, size), self.nodes.__getitem__)
                    check_inclusion(leaf, size, known, path, self.roots[size])
        for old, new in pairwise(sizes):
            path = await ledgers.consistency(tx, old, new)
            assert path == hashed(consistency_ranges(old, new), self.nodes.__getitem__)
            check_consistency(old, new, self.roots[old], self.roots[new], path)


def says(places: list[int]) -> bytes:
    event = {"type": "expiry.leaves_begun.v1", "made_before": NOW.isoformat(), "sequences": places}
    return json.dumps({"events": [event]}).encode()


@pytest.fixture
async def owner_database(database: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database.owner) as owner:
        yield owner


@pytest.mark.parametrize("seed", range(8))
async def test_every_proof_of_what_remains_is_that_of_the_whole_tree(
    engine_database: Database, owner_database: Database, seed: int
) -> None:
    drawn = random.Random(seed)
    whole = Whole(engine_database)
    old = [whole.grow() for _ in range(drawn.choice((1, 2, 7, 16, 33, 40)))]
    going = drawn.sample(old, drawn.randint(1, len(old))) if seed % 3 else list(old)
    cut = drawn.randint(0, len(going))
    lots = [lot for lot in (sorted(going[:cut]), sorted(going[cut:])) if lot]
    facts = [(whole.grow(says([leaf + 1 for leaf in lot])), lot) for lot in lots]
    heads = sorted(drawn.sample(range(1, whole.tree.size + 1), min(3, whole.tree.size)))
    await whole.store(heads)
    for fact, lot in facts:
        await whole.remove(fact, lot)
        await whole.remove(fact, lot)  # said again
        async with engine_database.read(whole.tenant) as tx:
            await whole.prove_all(tx, heads)
    async with owner_database.session() as session:
        found = await removed_leaves(session, 7)
    assert whole.tenant not in found.unsaid
    assert {leaf + 1 for leaf in going} <= set(found.sequences)


async def test_of_a_part_of_which_nothing_is_left_one_hash_is_kept(
    engine_database: Database, owner_database: Database
) -> None:
    whole = Whole(engine_database)
    old = [whole.grow() for _ in range(64)]
    fact = whole.grow(says([leaf + 1 for leaf in old]))
    await whole.store([])
    await whole.remove(fact, old)
    async with owner_database.session() as session:
        found: Removed = await removed_leaves(session, 7)
    assert set(found.nodes[whole.tenant]) == {Node(6, 0)}
    async with engine_database.read(whole.tenant) as tx:
        with pytest.raises(NoSuchLeaf, match="no longer"):
            await ledgers.root_of(tx, 63)


async def test_the_database_lets_no_leaf_go_of_which_the_ledger_does_not_say_so(
    engine_database: Database, database: DatabaseUrls
) -> None:
    whole = Whole(engine_database)
    leaves = [whole.grow() for _ in range(4)]
    fact = whole.grow(says([1, 2]))
    await whole.store([])
    delete = "DELETE FROM ledger_commits WHERE leaf = %(leaf)s"
    with psycopg.connect(database.engine, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, false)", (whole.tenant,))
        for said, leaf in (("", leaves[0]), (str(fact + 1), leaves[3]), ("99", leaves[0]), (str(fact + 1), fact)):
            connection.execute("SELECT set_config('fairlead.gone_by', %s, false)", (said,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(delete, {"leaf": leaf})
        connection.execute("SELECT set_config('fairlead.gone_by', %s, false)", (str(fact + 1),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):  # its hash is not among the nodes
            connection.execute(delete, {"leaf": leaves[0]})
    for url in (database.app, database.owner):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT set_config('app.tenant_id', %s, false)", (whole.tenant,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(delete, {"leaf": leaves[0]})


async def test_after_years_the_leaves_of_runs_go_and_log_and_ledger_still_agree(
    engine_database: Database, app_database: Database, owner_database: Database
) -> None:
    archive, tenant = Archive(engine_database, app_database, SequentialIds()), "tnt_years"
    async with archive.followed():
        kept, other = await archive.kept(tenant, 1), await archive.kept("tnt_years2", 2)
        assert await archive.swept(tenant) == 1
        assert await archive.swept(tenant) == 0, "leaves are kept for seven years without a word"
        archive.clock._now = T0 + timedelta(days=366 * 7, hours=1)
        assert await archive.swept(tenant) == 1
        assert await archive.swept(tenant) == 0, "there is nothing left to do"
        await archive.caught_up()
        left = {row["sequence"] for row in await archive.rows(tenant, "SELECT sequence FROM ledger_commits")}
        assert left.isdisjoint(kept.sequences)
        (closed,) = await archive.log.read(kept.run)
        assert closed.sequence in left
        async with owner_database.session() as session:
            assert [fault async for fault in check(archive.log, session) if fault.tenant_id in (tenant, "")] == []
        theirs = await archive.rows(other.run.tenant_id, "SELECT sequence FROM ledger_commits")
        assert {row["sequence"] for row in theirs} >= set(other.sequences)
