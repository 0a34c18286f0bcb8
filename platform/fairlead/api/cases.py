"""Cases: a run that somebody reports, or a bundle that somebody brings, with a label, to be decided again."""

from typing import Annotated, Any

import msgspec
from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import EnvironmentId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import case_rows as rows
from fairlead.api.acting import Act
from fairlead.api.case_rows import CaseView
from fairlead.api.connection_access import Id
from fairlead.api.explanations import as_file, gathering
from fairlead.api.guards import LARGE, check_place, requires
from fairlead.api.looking import Looking
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlace, load_run, within
from fairlead.api.workflows import named_workspace
from fairlead.domain import cases as c
from fairlead.domain.bundled_masks import behind_masks
from fairlead.domain.bundles import Bundle, digest_of, read_bundle
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import child_id
from fairlead.domain.redaction import secrets_in

LIST = "cases"
READS = requires(Permission.CASE_READ, "cases")
Comment = Annotated[str, Meta(max_length=c.MAX_COMMENT)]


class NewReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`call_id` where one call of the run was wrong; `expected` is what would have been right."""

    label: c.Label
    comment: Comment = ""
    call_id: Annotated[str, Meta(max_length=64)] | None = None
    expected: Any = None


class NewCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle` as `GET /v1/runs/{run_id}/bundle` gave it, here or elsewhere."""

    bundle: dict[str, Any]
    label: c.Label = "other"
    comment: Comment = ""
    workspace_id: Id | None = None
    environment_id: Id | None = None


class KeptCase(Struct, frozen=True, kw_only=True):
    """`bundle_sha256` names the bundle that is kept with it."""

    case_id: str
    run_id: str
    label: c.Label
    through: int
    bundle_sha256: str


@post("/v1/runs/{run_id:str}/reports", opt=requires(Permission.CASE_REPORT), tags=["Cases"])
async def report_run(
    run_id: FromPath[str],
    data: JSONBody[NewReport],
    act: NamedDependency[Act],
    parts: NamedDependency[ApiParts],
) -> Response[KeptCase]:
    """Report a run that went wrong. It is kept as a case, with the bundle of what had happened by now."""
    loaded = await load_run(parts, act.principal, run_id, Permission.CASE_REPORT)
    start = loaded.run.start
    if data.call_id is not None and not data.call_id.startswith(child_id("tcl", run_id, 0)[:-1]):
        raise Invalid([Problem(path="/call_id", message="is no call of this run", code="no_such_call")])
    bundle = await gathering(parts).bundle(act.tenant_id, run_id)
    case = c.CaseReported(
        run_id=run_id,
        workspace_id=start.workspace_id,
        environment_id=start.environment_id,
        workflow_id=start.workflow_id,
        workflow_version=start.workflow_version,
        label=data.label,
        comment=data.comment,
        through=bundle.through,
        bundle_sha256=digest_of(bundle),
        call_id=data.call_id or "",
        expected=data.expected,
        data_subject=start.data_subject,
    )
    return await _kept(act, case)


class CaseController(Controller):
    path = "/v1/cases"
    tags = ("Cases",)

    @get("/", opt=READS)
    async def list_cases(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        label: Annotated[c.Label | None, QueryParameter(name="label")] = None,
        run: Annotated[str | None, QueryParameter(name="run_id", max_length=64)] = None,
        workflow: Annotated[str | None, QueryParameter(name="workflow_id", max_length=64)] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[CaseView]:
        """Those that the principal may see, the newest first."""
        wanted = rows.Wanted(
            where=within(principal, Permission.CASE_READ),
            before=after(cursor, LIST, principal.tenant_id, int) or rows.NEWEST,
            limit=limit + 1,
            label=label,
            run=run,
            workflow=workflow,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            found = await rows.newest(tx, wanted)
        shown = page(found, limit, LIST, principal.tenant_id, lambda row: row.sequence)
        return Page([row.view() for row in shown.items], shown.next_cursor)

    @post("/", opt=requires(Permission.CASE_REPORT) | {LARGE: True})
    async def import_case(self, data: JSONBody[NewCase], act: NamedDependency[Act]) -> Response[KeptCase]:
        """Keep a bundle of a run of elsewhere as a case. A bundle that was changed is refused."""
        bundle = read_bundle(msgspec.json.encode(data.bundle))
        if places := secrets_in(data.bundle):
            message = "looks like a secret: no bundle that was made here has any"
            raise Invalid([Problem(path=f"/bundle{each}", message=message, code="secret") for each in places[:100]])
        workspace_id = named_workspace(act.tenant, data.workspace_id)
        environment = data.environment_id or act.principal.environment_id
        if workspace_id is None or environment is None or environment not in act.tenant.environments:
            problem = Problem(path="", message="name a workspace and an environment of the tenant", code="place_needed")
            raise Invalid([problem], "it is not clear where the case belongs")
        environment_id = EnvironmentId(environment)
        check_place(act.principal, Permission.CASE_REPORT, Permission.CASE_READ, workspace_id, environment_id)
        case = c.CaseImported(
            run_id=bundle.run_id,
            workspace_id=workspace_id,
            environment_id=environment_id,
            workflow_id=bundle.workflow.workflow_id,
            workflow_version=bundle.workflow.version,
            label=data.label,
            comment=data.comment,
            through=bundle.through,
            bundle_sha256=digest_of(bundle),
            bundle=data.bundle,
        )
        return await _kept(act, case)

    @get("/{case_id:str}", opt=READS)
    async def get_case(
        self, case_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> CaseView:
        """One case."""
        async with parts.database.read(principal.tenant_id) as tx:
            row = await rows.case(tx, case_id)
        if row is None or not may(principal, Permission.CASE_READ, row.workspace_id, row.environment_id):
            raise c.NoSuchCase("no such case")
        return row.view()

    @get("/{case_id:str}/bundle", opt=requires(Permission.EXPORT_READ))
    async def get_case_bundle(
        self,
        case_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        looking: NamedDependency[Looking],
    ) -> Response[Bundle]:
        """The bundle that is kept with the case: what had happened when it was reported."""
        state = (await parts.handler.load(StreamRef(principal.tenant_id, "case", case_id))).state
        if not isinstance(state, c.Kept):
            raise c.NoSuchCase("no such case")
        case = state.case
        if not may(principal, Permission.EXPORT_READ, case.workspace_id, case.environment_id):
            raise c.NoSuchCase("no such case")
        looking.check(RunPlace(case.workspace_id, case.environment_id))
        if isinstance(case, c.CaseImported):
            bundle = read_bundle(msgspec.json.encode(case.bundle))
            return as_file(bundle if looking.unmasked else behind_masks(bundle))
        return as_file(await gathering(parts, looking.sight).bundle(principal.tenant_id, case.run_id, case.through))


async def _kept(act: Act, case: c.CaseReported | c.CaseImported) -> Response[KeptCase]:
    case_id = act.new_id("cas")
    state = (await act.handle(StreamRef(act.tenant_id, "case", case_id), c.KeepCase(case=case))).state
    kept = KeptCase(
        case_id=case_id,
        run_id=state.case.run_id,
        label=state.case.label,
        through=state.case.through,
        bundle_sha256=state.case.bundle_sha256,
    )
    return Response(kept, status_code=201, headers={"Location": f"/v1/cases/{case_id}"})
