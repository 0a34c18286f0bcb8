"""Every commit of a run and of its approvals, as the log has it: timelines and exports."""

from collections.abc import Sequence

from fairlead.consumers.expired_runs import expired_in
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyCommit, AnyRecorded, SqlTx

NAME = "run_commits"
KINDS: tuple[Kind, ...] = ("run", "approval")
TABLES: tuple[str, ...] = ("run_commits",)

# Arrays in binary: as text, each quotation mark of a body would have to be escaped.
_INSERT = """
INSERT INTO run_commits (tenant_id, run_id, sequence, kind, stream_id, first_version, event_count, at, body)
SELECT %(tenant)s, *
  FROM unnest(%(run_ids)b::text[], %(sequences)b::bigint[], %(kinds)b::text[], %(stream_ids)b::text[],
              %(first_versions)b::bigint[], %(event_counts)b::integer[], %(times)b::timestamptz[], %(bodies)b::text[])
    ON CONFLICT DO NOTHING
"""


# Of the commits of a run that has expired one is left: the one that says so.
_EXPIRED = "DELETE FROM run_commits WHERE tenant_id = %(tenant)s AND run_id = %(run_id)s AND sequence < %(sequence)s"


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    commits = [recorded.commit for recorded in batch]
    await tx.run(
        _INSERT,
        {
            "tenant": commits[0].tenant_id,
            "run_ids": [run_of(commit) for commit in commits],
            "sequences": [recorded.sequence for recorded in batch],
            "kinds": [commit.kind for commit in commits],
            "stream_ids": [commit.stream_id for commit in commits],
            "first_versions": [commit.first_version for commit in commits],
            "event_counts": [len(commit.events) for commit in commits],
            "times": [commit.at for commit in commits],
            "bodies": [recorded.body.decode() for recorded in batch],
        },
    )
    for run_id, sequence in expired_in(batch):
        await tx.run(_EXPIRED, {"tenant": commits[0].tenant_id, "run_id": run_id, "sequence": sequence})


def run_of(commit: AnyCommit) -> str:
    """An approval's id is its run's with a number: see `child_id`."""
    if commit.kind == "run":
        return commit.stream_id
    return "run_" + commit.stream_id.partition("_")[2].rpartition("-")[0]
