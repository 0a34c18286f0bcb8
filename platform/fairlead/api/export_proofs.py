"""What proves an export: for each of its pages a block that leads from the commits to a signed head of the ledger."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import structlog
from fairlead_ledger.heads import Head
from fairlead_ledger.keys import Signer
from fairlead_ledger.merkle import leaf_hash, nodes_beside
from fairlead_ledger.proofs import Page, Since, sealed
from fairlead_tenants.ids import TenantId
from litestar.params import QueryParameter
from msgspec import Struct

from fairlead.api.commit_pages import Read
from fairlead.api.parts import ApiParts
from fairlead.api.positions import MAX_WAIT_S
from fairlead.api.timeline_events import CommitRow
from fairlead.domain.errors import Invalid, Problem, Unavailable
from fairlead.handling import ledgers
from fairlead.handling.ledgers import KeptCommit
from fairlead.handling.swift_leaves import leaf_text_of
from fairlead.ports import SqlTx

LEDGER = "ledger"
SIZE_HEADER = "Fairlead-Ledger-Size"
HeadSize = Annotated[
    int | None,
    QueryParameter(
        name="head",
        ge=0,
        description="Size of the ledger to export from: files from one size fit together. The newest without.",
    ),
]
ReceiptSize = Annotated[
    int | None,
    QueryParameter(
        name="receipt", ge=1, description="Size of an older head: the proof shows that the ledger goes on from there."
    ),
]
WithProofs = Annotated[bool, QueryParameter(name="proofs", description="Whether the file proves what it says.")]

_log = structlog.get_logger()


class LedgerBehind(Unavailable):
    """What is to be exported is not in the ledger yet; it will be. Without proofs it can be had at once."""

    code = "ledger_behind"


class Proven(Struct, frozen=True, kw_only=True):
    """Up to where an export goes, and what signs each page of it: a key that is retired meanwhile signs no more."""

    head: Head
    signer: Callable[[], Signer]
    to_sequence: int
    since: Since | None


async def proven_up_to(
    parts: ApiParts, read: Read, tenant_id: TenantId, folded: int, size: int | None, receipt: int | None
) -> Proven:
    """Raises LedgerBehind, NoSuchLeaf, Invalid."""
    if not await parts.positions.reached([LEDGER], folded, MAX_WAIT_S):
        raise LedgerBehind("the ledger's copy of what is exported")
    signer = parts.head_keys.signer
    async with read() as tx:
        chosen = await ledgers.size_at(tx, folded) if size is None else size
        if receipt is not None and receipt > chosen:
            wrong = Problem(path="/receipt", message=f"the ledger has {chosen} commits", code="receipt_too_large")
            raise Invalid([wrong], "the receipt is newer than the ledger")
        head = await ledgers.head_at(tx, signer(), tenant_id, chosen, parts.clock.now())
        since = Since(receipt, tuple(await ledgers.consistency(tx, receipt, chosen))) if receipt else None
        to_sequence = await ledgers.sequence_of(tx, chosen)
    return Proven(head=head, signer=signer, to_sequence=min(to_sequence, folded), since=since)


class Prover:
    """Makes the block of each page of one export."""

    def __init__(self, read: Read, proven: Proven, scope: dict[str, Any], now: datetime, after: str | None) -> None:
        self._read = read
        self._proven = proven
        self._scope = scope
        self._exported_at = ledgers.as_text(now)
        self._after = after
        self._since = proven.since

    @property
    def size(self) -> int:
        return self._proven.head.size

    async def block(self, rows: Sequence[CommitRow], last: str, *, end: bool) -> bytes:
        """The page begins after the last event of the one before."""
        size = self.size
        async with self._read() as tx:
            kept = await ledgers.kept(tx, [row.sequence for row in rows])
            pairs = [(row, kept[row.sequence]) for row in rows if row.sequence in kept]
            leaves = [(found.leaf, await _leaf(tx, row, found)) for row, found in pairs]
            beside = nodes_beside([index for index, _ in leaves], size)
            nodes = await ledgers.nodes(tx, beside)
        expired = {found.leaf: ledgers.as_text(row.expired_at) for row, found in pairs if row.expired_at is not None}
        page = Page(
            scope=self._scope,
            exported_at=self._exported_at,
            after=self._after,
            last=last,
            end=end,
            expired=expired,
        )
        made = sealed(
            self._proven.signer(), page, self._proven.head, leaves, [nodes[node] for node in beside], self._since
        )
        self._after, self._since = last, None  # one link to the receipt is enough
        return made


async def _leaf(tx: SqlTx, row: CommitRow, kept: KeptCommit) -> bytes:
    """That of the commit as it is exported; where this is not what the ledger holds, the ledger's own, so that whoever
    checks the export sees which commit differs."""
    body = row.body.encode()
    text = body if row.expired_at is not None else leaf_text_of(kept.place, body)
    if leaf_hash(text) == kept.leaf_hash:
        return text
    _log.error("export_differs_from_ledger", tenant_id=kept.tenant_id, sequence=kept.sequence)
    return await ledgers.text_of(tx, kept)


async def with_end(pages: AsyncIterator[list[CommitRow]]) -> AsyncIterator[tuple[list[CommitRow], bool]]:
    """Each page, and whether it is the last."""
    before: list[CommitRow] | None = None
    async for page in pages:
        if before is not None:
            yield before, False
        before = page
    if before is not None:
        yield before, True
