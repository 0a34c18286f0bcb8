"""Cases as they are listed. What belongs to one is read from the log."""

from collections.abc import Sequence

from fairlead.consumers.rows import printable
from fairlead.domain.cases import CaseImported
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, SqlTx

NAME = "cases"
KINDS: tuple[Kind, ...] = ("case",)
TABLES: tuple[str, ...] = ("cases",)

_KEPT = """
INSERT INTO cases (
    tenant_id, case_id, run_id, workspace_id, environment_id, workflow_id, workflow_version, label, comment, call_id,
    imported, through, bundle_sha256, kept_at, kept_by, sequence)
VALUES (%(tenant)s, %(id)s, %(run_id)s, %(workspace_id)s, %(environment_id)s, %(workflow_id)s, %(workflow_version)s,
        %(label)s, %(comment)s, %(call_id)s, %(imported)s, %(through)s, %(bundle_sha256)s, %(at)s, %(by)s, %(sequence)s)
    ON CONFLICT DO NOTHING
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        for event in commit.events:
            row = {
                "tenant": commit.tenant_id,
                "id": commit.stream_id,
                "run_id": event.run_id,
                "workspace_id": event.workspace_id,
                "environment_id": event.environment_id,
                "workflow_id": event.workflow_id,
                "workflow_version": event.workflow_version,
                "label": event.label,
                "comment": printable(event.comment),
                "call_id": None if isinstance(event, CaseImported) else event.call_id or None,
                "imported": isinstance(event, CaseImported),
                "through": event.through,
                "bundle_sha256": event.bundle_sha256,
                "at": commit.at,
                "by": commit.actor.id,
                "sequence": recorded.sequence,
            }
            await tx.run(_KEPT, row)
