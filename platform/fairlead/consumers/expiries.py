"""Removals that have been begun, for whoever carries them out: `removed_at` is theirs, and not of the log."""

from collections.abc import Sequence

from fairlead.domain.envelope import Kind
from fairlead.domain.expiries import ExpiryEvent, ExpiryOfAccessesBegun, ExpiryOfLeavesBegun, ExpiryOfRunsBegun
from fairlead.ports import AnyRecorded, SqlTx

NAME = "expiries"
KINDS: tuple[Kind, ...] = ("expiry",)
TABLES: tuple[str, ...] = ("expiries",)

_BEGUN = """
INSERT INTO expiries (tenant_id, expiry_id, what, count, begun_at, sequence)
VALUES (%(tenant)s, %(id)s, %(what)s, %(count)s, %(at)s, %(sequence)s)
    ON CONFLICT DO NOTHING
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Made anew, everything is to be removed once more, which finds nothing."""
    for recorded in batch:
        commit = recorded.commit
        for event in commit.events:
            what, count = _said(event)
            row = {
                "tenant": commit.tenant_id,
                "id": commit.stream_id,
                "what": what,
                "count": count,
                "at": commit.at,
                "sequence": recorded.sequence,
            }
            await tx.run(_BEGUN, row)


def _said(event: ExpiryEvent) -> tuple[str, int]:
    if isinstance(event, ExpiryOfRunsBegun):
        return "runs", len(event.runs)
    if isinstance(event, ExpiryOfAccessesBegun):
        return "accesses", len(event.sequences)
    if isinstance(event, ExpiryOfLeavesBegun):
        return "leaves", len(event.sequences)
    return "objects", len(event.versions)
