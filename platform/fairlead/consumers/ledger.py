"""Every commit of the log, of every kind and whether it can be read or not, into a second place with its proof.

Not a read model: nothing rebuilds it, and its transactions wait for the disk. Only one process of a shard keeps it, and
the position in its transaction refuses any other.
"""

import hashlib
from collections.abc import Sequence

from fairlead_ledger.leaves import Place
from fairlead_ledger.merkle import HASH_BYTES, Frontier
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.consumers.projection import Superseded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError
from fairlead.handling.swift_leaves import leaf_hash_of
from fairlead.ports import Copy, FoldTx, LogCopies, SqlSession

NAME = "ledger"  # its position, beside those of the read models, so that callers can wait for it
MOST_TREES = 20_000  # remembered; others are read again

_SYNCED = "SET LOCAL synchronous_commit = on"
_ENSURE = """
INSERT INTO projection_positions (shard, name) VALUES (%(shard)s, 'ledger') ON CONFLICT DO NOTHING
"""
_ENSURE_STATE = "INSERT INTO ledger_state (shard) VALUES (%(shard)s) ON CONFLICT DO NOTHING"
_STANDING = """
SELECT p.sequence, s.last_sha256, s.halted
  FROM projection_positions AS p
  JOIN ledger_state AS s ON s.shard = p.shard
 WHERE p.shard = %(shard)s AND p.name = 'ledger'
"""
# Whoever waits for the ledger is woken when the transaction commits.
_ADVANCE = """
WITH moved AS (
    UPDATE projection_positions
       SET sequence = %(to)s, folded_at = clock_timestamp()
     WHERE shard = %(shard)s AND name = 'ledger' AND sequence = %(known)s
    RETURNING name
)
SELECT name, pg_notify('fairlead_positions', %(payload)s) AS told FROM moved
"""
_FOUND = """
UPDATE ledger_state
   SET last_sha256 = %(last)s, missing = missing + %(missing)s, halted = NULL, changed_at = clock_timestamp()
 WHERE shard = %(shard)s
"""
_HALT = "UPDATE ledger_state SET halted = %(reason)s, changed_at = clock_timestamp() WHERE shard = %(shard)s"
_TREES = "SELECT tenant_id, size, peaks FROM ledger_trees WHERE tenant_id = ANY (%(tenants)s)"
_INSERT = """
INSERT INTO ledger_commits
       (tenant_id, shard, leaf, sequence, kind, stream_id, message_id, headers, claimed, body, hashes)
SELECT %(tenant)s, %(shard)s, *
  FROM unnest(%(leaves)b::bigint[], %(sequences)b::bigint[], %(kinds)b::text[], %(stream_ids)b::text[],
              %(message_ids)b::text[], %(headers)b::bytea[], %(claimed)b::boolean[], %(bodies)b::bytea[],
              %(hashes)b::bytea[])
"""
_GROW = """
INSERT INTO ledger_trees (tenant_id, shard, size, sequence, peaks)
VALUES (%(tenant)s, %(shard)s, %(size)s, %(sequence)s, %(peaks)s)
    ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size, sequence = excluded.sequence, peaks = excluded.peaks
"""


class LogDiverged(FairleadError):
    """The log does not hold any more what the ledger has kept of it: keeping more would hide that."""

    code = "log_diverged"


class Standing(Struct, frozen=True, kw_only=True):
    """`sequence` is the last commit kept, 0 for none; `last_sha256` is of its body."""

    sequence: int
    last_sha256: bytes | None
    halted: str | None


class _TreeRow(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    size: int
    peaks: bytes


class Keeper:
    """Where the ledger of a shard stands, as this process knows it."""

    def __init__(self, shard: int, standing: Standing) -> None:
        self.shard = shard
        self.standing = standing
        self._trees: dict[TenantId, Frontier] = {}

    @classmethod
    async def begin(cls, session: SqlSession, shard: int) -> "Keeper":
        async with session.transaction() as tx:
            await tx.run(_ENSURE, {"shard": shard})
            await tx.run(_ENSURE_STATE, {"shard": shard})
            found = await tx.row(_STANDING, {"shard": shard}, Standing)
        assert found is not None, "it has been made sure of"
        return cls(shard, found)

    async def check_log(self, log: LogCopies) -> None:
        """Raises LogDiverged when the log's commit at the position is not the one that was kept.

        One that is gone from a log that reaches further has expired, or was damaged: the log is still the same.
        """
        sequence = self.standing.sequence
        if not sequence:
            return
        found = await log.copy_of(LogSequence(sequence))
        if found is None:
            if await log.last_sequence() <= sequence:
                raise LogDiverged(f"the log has no commit {sequence} any more, or does not reach it")
            return
        if hashlib.sha256(found.body).digest() != self.standing.last_sha256:
            raise LogDiverged(f"the log has another commit at {sequence} than was kept")

    async def halt(self, session: SqlSession, reason: str) -> None:
        if self.standing.halted != reason:
            async with session.transaction() as tx:
                await tx.run(_HALT, {"shard": self.shard, "reason": reason[:500]})

    async def resume(self, session: SqlSession) -> None:
        """The log is again what was kept of it."""
        if self.standing.halted is not None:
            async with session.transaction() as tx:
                await tx.run(_HALT, {"shard": self.shard, "reason": None})

    async def keep(self, session: SqlSession, batch: Sequence[Copy]) -> int:
        """How many commits the log had lost before it gave these.

        Raises Superseded, Unavailable; then nothing has changed.
        """
        missing = batch[-1].sequence - self.standing.sequence - len(batch)
        last = hashlib.sha256(batch[-1].body).digest()
        async with session.transaction() as tx:
            await tx.run(_SYNCED)
            await self._advance(tx, batch[-1].sequence)
            await tx.run(_FOUND, {"shard": self.shard, "last": last, "missing": missing})
            grown = await self._keep_each(tx, batch)
        self.standing = Standing(sequence=batch[-1].sequence, last_sha256=last, halted=None)
        self._remember(grown)
        return missing

    async def _advance(self, tx: FoldTx, to: int) -> None:
        where = {"shard": self.shard, "known": self.standing.sequence, "to": to, "payload": f"{self.shard} {to} {NAME}"}
        if not await tx.rows(_ADVANCE, where, dict):
            raise Superseded

    async def _keep_each(self, tx: FoldTx, batch: Sequence[Copy]) -> dict[TenantId, Frontier]:
        by_tenant: dict[TenantId, list[Copy]] = {}
        for copy in batch:
            by_tenant.setdefault(copy.stream.tenant_id, []).append(copy)
        trees = await self._trees_of(tx, list(by_tenant))
        for tenant_id, copies in by_tenant.items():
            await tx.fence(tenant_id)
            await self._keep_of_tenant(tx, tenant_id, trees[tenant_id], copies)
        return trees

    async def _trees_of(self, tx: FoldTx, tenants: Sequence[TenantId]) -> dict[TenantId, Frontier]:
        """Of their own: those that are remembered stay as they are until the transaction has ended well."""
        unknown = [tenant for tenant in tenants if tenant not in self._trees]
        rows = await tx.rows(_TREES, {"tenants": unknown}, _TreeRow) if unknown else []
        read = {row.tenant_id: Frontier(row.size, in_hashes(row.peaks)) for row in rows}
        known = {tenant: self._trees.get(tenant) or read.get(tenant) or Frontier() for tenant in tenants}
        return {tenant: Frontier(tree.size, tree.peaks) for tenant, tree in known.items()}

    async def _keep_of_tenant(self, tx: FoldTx, tenant_id: TenantId, tree: Frontier, copies: Sequence[Copy]) -> None:
        first = tree.size
        hashes = [tree.append(leaf_hash_of(place_of(copy, self.shard), copy.body)) for copy in copies]
        await tx.run(
            _INSERT,
            {
                "tenant": tenant_id,
                "shard": self.shard,
                "leaves": list(range(first, tree.size)),
                "sequences": [copy.sequence for copy in copies],
                "kinds": [copy.stream.kind for copy in copies],
                "stream_ids": [copy.stream.id for copy in copies],
                "message_ids": [copy.message_id for copy in copies],
                "headers": [copy.headers for copy in copies],
                "claimed": [copy.claimed for copy in copies],
                "bodies": [copy.body for copy in copies],
                "hashes": hashes,
            },
        )
        said = {"sequence": copies[-1].sequence, "size": tree.size, "peaks": b"".join(tree.peaks)}
        await tx.run(_GROW, {"tenant": tenant_id, "shard": self.shard, **said})

    def _remember(self, grown: dict[TenantId, Frontier]) -> None:
        for tenant_id in grown:
            self._trees.pop(tenant_id, None)  # to the end of the line
        self._trees |= grown
        while len(self._trees) > MOST_TREES:
            del self._trees[next(iter(self._trees))]


def place_of(copy: Copy, shard: int) -> Place:
    stream = copy.stream
    return Place(shard, copy.sequence, stream.tenant_id, stream.kind, stream.id, copy.message_id)


def in_hashes(joined: bytes) -> list[bytes]:
    return [joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES)]
