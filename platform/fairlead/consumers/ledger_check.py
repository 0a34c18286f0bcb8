"""Holds the log, the ledger and the read model of commits against each other, commit by commit, in constant memory."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Literal

from fairlead_ledger.heads import Head
from fairlead_ledger.leaves import leaf_of
from fairlead_ledger.merkle import HASH_BYTES, Frontier, leaf_hash
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.consumers.ledger import place_of
from fairlead.consumers.ledger_expired import NONE, Going, Tree, each_tenant, going_of, unfounded
from fairlead.consumers.ledger_leaves import Nodes, grow_over, removed_leaves
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.ports import Copy, LogCopies, SqlSession, SqlTx

PAGE = 500

_CHOOSE = "SELECT set_config('fairlead.shard', %(shard)s::text, true)"
_OPEN = """
DECLARE ledger_keys NO SCROLL CURSOR FOR
 SELECT tenant_id, leaf
   FROM ledger_commits
  WHERE shard = current_setting('fairlead.shard')::smallint
  ORDER BY sequence
"""
_NEXT = "FETCH 500 FROM ledger_keys"
_PAGE = """
SELECT c.tenant_id, c.leaf, c.sequence, c.kind, c.stream_id, c.message_id, c.headers, c.claimed, c.body, c.hashes,
       c.leaf_text
  FROM unnest(%(tenants)s::text[], %(leaves)s::bigint[]) AS wanted (tenant_id, leaf)
  JOIN ledger_commits AS c ON c.tenant_id = wanted.tenant_id AND c.leaf = wanted.leaf
 ORDER BY c.sequence
"""
_POSITION = """
SELECT coalesce(max(sequence), 0) AS sequence FROM projection_positions WHERE shard = %(shard)s AND name = %(name)s
"""
_POSITIONS = """
SELECT name, sequence FROM projection_positions WHERE shard = %(shard)s AND sequence > %(last)s ORDER BY name
"""
_NEWEST_HEAD = """
SELECT tenant_id, size, encode(root, 'hex') AS root
  FROM ledger_heads
 WHERE tenant_id = %(tenant)s
 ORDER BY size DESC, at DESC
 LIMIT 1
"""
# What the read model of commits lacks, has otherwise, or has too much.
_DIFFERENT = """
SELECT coalesce(l.sequence, r.sequence) AS sequence,
       CASE WHEN r.sequence IS NULL THEN 'missing' WHEN l.sequence IS NULL THEN 'extra' ELSE 'changed' END AS how
  FROM (SELECT sequence, body FROM ledger_commits
         WHERE tenant_id = %(tenant)s AND kind IN ('run', 'approval') AND sequence <= %(to)s
           AND body IS NOT NULL AND NOT sequence = ANY (%(going)s)) AS l
  FULL JOIN (SELECT sequence, body FROM run_commits
              WHERE tenant_id = %(tenant)s AND sequence <= %(kept)s) AS r ON r.sequence = l.sequence
 WHERE (l.sequence IS NULL OR r.sequence IS NULL OR convert_to(r.body, 'UTF8') <> l.body)
   AND NOT EXISTS (SELECT FROM parked_commits AS p
                    WHERE p.tenant_id = %(tenant)s AND p.name = 'run_commits' AND p.sequence = l.sequence)
 ORDER BY 1
 LIMIT 100
"""

FaultKind = Literal[
    "log_missing",
    "log_changed",
    "blob_damaged",
    "ledger_missing",
    "ledger_changed",
    "ledger_behind",
    "lost",
    "head_differs",
    "read_model_differs",
    "position_beyond",
    "expired_remains",
    "expired_unsaid",
]

InBoth = tuple["Copy | None", "Kept | None"]


class Fault(Struct, frozen=True, kw_only=True):
    """`sequence` is 0 where no one commit is meant."""

    kind: FaultKind
    sequence: int
    tenant_id: str
    text: str
    shard: int = 0


class Kept(Struct, frozen=True):
    """A row of the ledger. With `leaf_text` its body has expired, and the one of `copy` is empty."""

    copy: Copy
    leaf: int
    hashes: bytes
    leaf_text: bytes | None = None


class _Key(Struct, frozen=True):
    tenant_id: str
    leaf: int


class _At(Struct, frozen=True):
    sequence: int


class _Named(Struct, frozen=True):
    name: str
    sequence: int


class _Head(Struct, frozen=True):
    tenant_id: str
    size: int
    root: str


class _Difference(Struct, frozen=True):
    sequence: int
    how: str


async def kept_commits(session: SqlSession, shard: int) -> AsyncGenerator[Kept, None]:
    """The whole ledger of a shard in the order of the log. `session` is the owner's."""
    async with session.transaction() as tx:
        await tx.run(_CHOOSE, {"shard": shard})
        await tx.run(_OPEN)
        while keys := await tx.rows(_NEXT, None, _Key):
            where = {"tenants": [key.tenant_id for key in keys], "leaves": [key.leaf for key in keys]}
            for row in await tx.rows(_PAGE, where, _kept):
                yield row


async def log_commits(log: LogCopies) -> AsyncGenerator[Copy, None]:
    """The whole log as far as it goes now."""
    async with log.copies(LogSequence(0), max_batch=PAGE) as batches:
        async for batch in batches:
            if not batch:
                return
            for copy in batch:
                yield copy


async def side_by_side(
    log: LogCopies, session: SqlSession, shard: int
) -> AsyncGenerator[tuple[Copy | None, Kept | None], None]:
    """Each place on the log or in the ledger, and what is there in each."""
    async with aclosing(log_commits(log)) as of_log, aclosing(kept_commits(session, shard)) as of_ledger:
        copy, kept = await anext(of_log, None), await anext(of_ledger, None)
        while copy is not None or kept is not None:
            if kept is None or (copy is not None and copy.sequence < kept.copy.sequence):
                yield copy, None
                copy = await anext(of_log, None)
            elif copy is None or kept.copy.sequence < copy.sequence:
                yield None, kept
                kept = await anext(of_ledger, None)
            else:
                yield copy, kept
                copy, kept = await anext(of_log, None), await anext(of_ledger, None)


async def check(
    log: LogCopies, session: SqlSession, shard: int = 0, receipts: Sequence[Head] = ()
) -> AsyncGenerator[Fault, None]:
    """Everything that does not agree. `session` is the owner's; `receipts` are heads that were kept elsewhere."""
    async with aclosing(_check(log, session, shard, receipts)) as faults:
        async for fault in faults:
            yield replace(fault, shard=shard)


async def _check(
    log: LogCopies, session: SqlSession, shard: int, receipts: Sequence[Head]
) -> AsyncGenerator[Fault, None]:
    position = await _position(session, shard, "ledger")
    last = await log.last_sequence()
    removed = await removed_leaves(session, shard)
    heads = [*await _newest_heads(session, shard), *(_Head(r.tenant_id, r.size, r.root) for r in receipts)]
    trees = _Trees(heads, removed.nodes)
    going, expected = await going_of(session, shard), 1
    async with aclosing(side_by_side(log, session, shard)) as places:
        async for copy, kept in places:
            found = copy or (kept.copy if kept else None)
            assert found is not None, "a place has something"
            if missing := removed.unknown(expected, found.sequence):
                text = f"neither the log nor the ledger has {missing} of {expected} to {found.sequence - 1}"
                yield Fault(kind="lost", sequence=expected, tenant_id="", text=text)
            expected = found.sequence + 1
            for fault in (*compared(copy, kept, position, going), *(trees.grown(kept, shard) if kept else ())):
                yield fault
    for fault in trees.ended():
        yield fault
    for tenant_id, count in removed.unsaid.items():
        text = f"{count} leaves are gone from the ledger, and nothing there says that they are kept no longer"
        yield Fault(kind="expired_unsaid", sequence=0, tenant_id=tenant_id, text=text)
    for fault in await _positions_beyond(session, shard, last):
        yield fault
    for fault in await _read_model(session, shard, going):
        yield fault
    for tenant_id, sequence in await unfounded(session, shard):
        text = "its body is gone from the ledger, and nothing there says that it has expired"
        yield Fault(kind="expired_unsaid", sequence=sequence, tenant_id=tenant_id, text=text)


def compared(copy: Copy | None, kept: Kept | None, position: int, going: Going = NONE) -> list[Fault]:
    """`going` is what a removal that has begun names."""
    if kept is None:
        assert copy is not None, "a place has something"
        if copy.sequence > position:
            return [_fault("ledger_behind", copy, "is not in the ledger yet")]
        return [_fault("ledger_missing", copy, "is on the log and not in the ledger")]
    if kept.leaf_text is not None:
        return [] if copy is None else [_fault("expired_remains", copy, "has expired and is on the log")]
    if copy is None and kept.copy.sequence in going.get(kept.copy.stream.tenant_id, ()):
        return []
    if copy is None:
        return [_fault("log_missing", kept.copy, "is in the ledger and not on the log")]
    if kept.copy.claimed and not copy.claimed and copy.message_id == kept.copy.message_id:
        return [_fault("blob_damaged", kept.copy, "lies beside the log and is not what was written")]
    same = (copy.body, copy.message_id, copy.stream) == (kept.copy.body, kept.copy.message_id, kept.copy.stream)
    return [] if same else [_fault("log_changed", kept.copy, "is another on the log than in the ledger")]


class _Trees:
    """Grows every tenant's tree again, and compares it with what was stored and signed."""

    def __init__(self, heads: Sequence[_Head], nodes: Mapping[str, Nodes]) -> None:
        self._nodes = nodes
        self._trees: dict[str, Frontier] = {}
        self._heads: dict[tuple[str, int], list[_Head]] = {}
        for head in heads:
            self._heads.setdefault((head.tenant_id, head.size), []).append(head)

    def grown(self, kept: Kept, shard: int) -> list[Fault]:
        tenant_id = kept.copy.stream.tenant_id
        tree = self._trees.setdefault(tenant_id, Frontier())
        faults = []
        text = kept.leaf_text
        found = leaf_of(place_of(kept.copy, shard), kept.copy.body).hash if text is None else leaf_hash(text)
        if found != kept.hashes[:HASH_BYTES]:
            faults.append(_fault("ledger_changed", kept.copy, "is not what its hash in the ledger says"))
        faults += self._over_removed(tree, tenant_id, kept)
        if kept.leaf != tree.size:
            faults.append(_fault("ledger_missing", kept.copy, f"is leaf {kept.leaf}, and {tree.size} would follow"))
        if tree.append(kept.hashes[:HASH_BYTES]) != kept.hashes and kept.leaf == tree.size - 1:
            faults.append(_fault("ledger_changed", kept.copy, "does not lead on from those before it"))
        return faults + self._as_signed(tree, tenant_id, kept)

    def _over_removed(self, tree: Frontier, tenant_id: str, kept: Kept) -> list[Fault]:
        """Leaves that are gone stand as nodes; a head may end among them, if it still counts."""
        faults: list[Fault] = []
        ends = sorted(size for tenant, size in self._heads if tenant == tenant_id and tree.size < size < kept.leaf)
        for size in (*ends, kept.leaf):
            if grow_over(tree, size, self._nodes.get(tenant_id, {})):
                faults += self._as_signed(tree, tenant_id, kept)
            else:
                self._heads.pop((tenant_id, size), None)  # older than leaves are kept for
        return faults

    def _as_signed(self, tree: Frontier, tenant_id: str, kept: Kept) -> list[Fault]:
        signed = {head.root for head in self._heads.pop((tenant_id, tree.size), ())}
        if signed - {tree.root().hex()}:
            return [_fault("head_differs", kept.copy, f"the tree of size {tree.size} is not the signed one")]
        return []

    def ended(self) -> list[Fault]:
        """Heads of trees larger than there are."""
        return [
            Fault(
                kind="head_differs",
                sequence=0,
                tenant_id=tenant_id,
                text=f"a head of size {size} was signed and the ledger is not that large: commits are gone from it",
            )
            for tenant_id, size in self._heads
            if size
        ]


def _fault(kind: FaultKind, copy: Copy, text: str) -> Fault:
    stream = copy.stream
    return Fault(
        kind=kind, sequence=copy.sequence, tenant_id=stream.tenant_id, text=f"{stream.kind} {stream.id}: {text}"
    )


def _kept(
    tenant_id: str,
    leaf: int,
    sequence: int,
    kind: Kind,
    stream_id: str,
    message_id: str,
    headers: bytes,
    claimed: bool,
    body: bytes | None,
    hashes: bytes,
    leaf_text: bytes | None,
) -> Kept:
    copy = Copy(
        sequence=LogSequence(sequence),
        stream=StreamRef(TenantId(tenant_id), kind, stream_id),
        message_id=message_id,
        headers=headers,
        body=body or b"",
        claimed=claimed,
    )
    return Kept(copy, leaf, hashes, leaf_text)


async def _position(session: SqlSession, shard: int, name: str) -> int:
    async with session.transaction() as tx:
        found = await tx.row(_POSITION, {"shard": shard, "name": name}, _At)
    return found.sequence if found else 0


async def _newest_heads(session: SqlSession, shard: int) -> list[_Head]:
    async def of(tx: SqlTx, tree: Tree) -> list[_Head]:
        return await tx.rows(_NEWEST_HEAD, {"tenant": tree.tenant_id}, _Head)

    return [head for heads in await each_tenant(session, shard, of) for head in heads]


async def _positions_beyond(session: SqlSession, shard: int, last: int) -> list[Fault]:
    async with session.transaction() as tx:
        rows = await tx.rows(_POSITIONS, {"shard": shard, "last": last}, _Named)
    return [
        Fault(
            kind="position_beyond",
            sequence=row.sequence,
            tenant_id="",
            text=f"{row.name} is there; the log ends at {last}",
        )
        for row in rows
    ]


async def _read_model(session: SqlSession, shard: int, going: Going) -> list[Fault]:
    kept, to = await _position(session, shard, "ledger"), await _position(session, shard, "run_commits")

    async def of(tx: SqlTx, tree: Tree) -> list[Fault]:
        left = sorted(going.get(tree.tenant_id, ()))
        where = {"tenant": tree.tenant_id, "to": min(kept, to), "kept": kept, "going": left}
        return [
            Fault(
                kind="read_model_differs",
                sequence=row.sequence,
                tenant_id=tree.tenant_id,
                text=f"run_commits: {row.how}",
            )
            for row in await tx.rows(_DIFFERENT, where, _Difference)
        ]

    return [fault for faults in await each_tenant(session, shard, of) for fault in faults]
