"""Runs whose content has expired, as read models hear of them: at the end of each run's own stream."""

from collections.abc import Iterator, Sequence

from fairlead.domain.runs.events import RunContentExpired
from fairlead.ports import AnyRecorded, SqlTx


def expired_in(batch: Sequence[AnyRecorded]) -> Iterator[tuple[str, int]]:
    """Their ids, and where it is said."""
    for recorded in batch:
        if recorded.commit.kind == "run" and type(recorded.commit.events[-1]) is RunContentExpired:
            yield recorded.commit.stream_id, recorded.sequence


async def delete_expired(batch: Sequence[AnyRecorded], tx: SqlTx, *statements: str) -> None:
    """Each statement takes `tenant` and `run_ids`."""
    if run_ids := [run_id for run_id, _ in expired_in(batch)]:
        for statement in statements:
            await tx.run(statement, {"tenant": batch[0].commit.tenant_id, "run_ids": run_ids})
