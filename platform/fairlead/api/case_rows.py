"""Cases as they are listed, from the read model."""

from fairlead_tenants.ids import EnvironmentId, PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.domain.cases import Label
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

NEWEST = 2**62

_ONE = """
SELECT case_id, run_id, workspace_id, environment_id, workflow_id, workflow_version, label, comment, call_id, imported,
       bundle_sha256, kept_at, kept_by, sequence
  FROM cases
 WHERE case_id = %(case_id)s
"""
_NEWEST_FIRST = """
SELECT case_id, run_id, workspace_id, environment_id, workflow_id, workflow_version, label, comment, call_id, imported,
       bundle_sha256, kept_at, kept_by, sequence
  FROM cases
 WHERE sequence < %(before)s
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
   AND (%(label)s::text IS NULL OR label = %(label)s)
   AND (%(run)s::text IS NULL OR run_id = %(run)s)
   AND (%(workflow)s::text IS NULL OR workflow_id = %(workflow)s)
 ORDER BY sequence DESC
 LIMIT %(limit)s
"""


class CaseView(Struct, frozen=True, kw_only=True):
    """`imported`: the run is one of elsewhere. `bundle_sha256` names the bundle that is kept with it."""

    case_id: str
    run_id: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: str
    workflow_version: int
    label: Label
    comment: str
    call_id: str | None
    imported: bool
    bundle_sha256: str
    kept_at: Instant
    kept_by: PrincipalId


class CaseRow(CaseView, frozen=True, kw_only=True):
    sequence: int

    def view(self) -> CaseView:
        return CaseView(**{name: getattr(self, name) for name in CaseView.__struct_fields__})


class Wanted(Struct, frozen=True, kw_only=True):
    where: Within
    before: int
    limit: int
    label: Label | None = None
    run: str | None = None
    workflow: str | None = None


async def case(tx: SqlTx, case_id: str) -> CaseRow | None:
    return await tx.row(_ONE, {"case_id": case_id}, CaseRow)


async def newest(tx: SqlTx, wanted: Wanted) -> list[CaseRow]:
    params = wanted.where.as_params() | {
        "before": wanted.before,
        "limit": wanted.limit,
        "label": wanted.label,
        "run": wanted.run,
        "workflow": wanted.workflow,
    }
    return await tx.rows(_NEWEST_FIRST, params, CaseRow)
