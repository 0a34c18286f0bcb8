"""Workflows: published as documents, never changed, listed and read with their versions.

A workflow is named in a path by its id, or by its name in the workspace that `workspace_id` says.
"""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import WorkspaceId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct

from fairlead.api import workflow_views as views
from fairlead.api.acting import Act
from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.etags import etag_of
from fairlead.api.guards import DOCUMENT, check_place, listed_workspaces, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.principals import Because
from fairlead.api.workflow_views import VersionDetail, VersionView, WorkflowRow, WorkflowView
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, NotFound, Problem
from fairlead.domain.ids import WorkflowId
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.plain import document_hash
from fairlead.domain.workflow.validation import named_tools, validate
from fairlead.domain.workflows import ArchiveWorkflow, RestoreWorkflow, workflow_id
from fairlead.handling.rulebook import NoSuchVersion

LIST = "workflows"
VERSIONS = "workflow_versions"
DEFAULT_WORKSPACE = "default"
MAX_VERSION = 2**31 - 1
READS = requires(Permission.WORKFLOW_READ, "workflow_versions")
InWorkspace = Annotated[
    str | None,
    QueryParameter(
        name="workspace_id", max_length=64, description="Where the name is looked up; else in the one called default."
    ),
]


class Verdict(Struct, frozen=True, kw_only=True):
    """`document_hash` is what a version made of the document would have; missing while the document is not valid."""

    valid: bool
    problems: list[Problem]
    document_hash: str | None


class WorkflowState(Struct, frozen=True, kw_only=True):
    workflow_id: WorkflowId
    newest_version: int
    archived: bool


class WorkflowController(Controller):
    path = "/v1/workflows"
    tags = ("Workflows",)

    @get("/", opt=READS)
    async def list_workflows(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        workspace_id: Annotated[str | None, QueryParameter(max_length=64)] = None,
        archived: FromQuery[bool | None] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[WorkflowView]:
        """Those in workspaces that the principal may see, in the order of their first publication."""
        wanted = views.Listed(
            workspaces=listed_workspaces(principal, Permission.WORKFLOW_READ),
            workspace=workspace_id,
            archived=archived,
            after=after(cursor, LIST, principal.tenant_id, int) or 0,
            limit=limit + 1,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            rows = await views.listed(tx, wanted)
        found = page(rows, limit, LIST, principal.tenant_id, lambda row: row.created_sequence)
        return Page([row.view() for row in found.items], found.next_cursor)

    @post("/validate", status_code=200, opt=requires(Permission.WORKFLOW_READ) | {DOCUMENT: {}})
    async def validate_workflow(
        self, request: ApiRequest, tenant: NamedDependency[Tenant], parts: NamedDependency[ApiParts]
    ) -> Verdict:
        """Whether a document could be published, with everything that is wrong with it. Changes nothing."""
        try:
            document = await document_of(request)
            catalogue = await parts.tools.catalogue(tenant.tenant_id, named_tools(document))
            validate(document, catalogue, parts.expressions, tenant.tool_cap)
        except Invalid as invalid:
            return Verdict(valid=False, problems=list(invalid.problems), document_hash=None)
        return Verdict(valid=True, problems=[], document_hash=document_hash(document))

    @get("/{workflow:str}", opt=READS)
    async def get_workflow(
        self,
        workflow: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[WorkflowView]:
        """One workflow. Its ETag is that of its newest version, for `If-Match` when publishing."""
        row = await _found(parts, principal, _named(tenant, workflow, workspace_id))
        return Response(row.view(), headers={"ETag": etag_of(row.newest_version)})

    @get("/{workflow:str}/versions", opt=READS)
    async def list_versions(
        self,
        workflow: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[VersionView]:
        """Every version ever published, newest first, without the documents."""
        row = await _found(parts, principal, _named(tenant, workflow, workspace_id))
        below = after(cursor, VERSIONS, row.workflow_id, int) or MAX_VERSION
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.versions(tx, row.workflow_id, below, limit + 1)
        return page(found, limit, VERSIONS, row.workflow_id, lambda each: each.version)

    @get("/{workflow:str}/versions/{version:int}", opt=READS)
    async def get_version(
        self,
        workflow: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[VersionDetail]:
        """One version with its document. It never changes."""
        row = await _found(parts, principal, _named(tenant, workflow, workspace_id))
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.version(tx, row.workflow_id, version) if 1 <= version <= MAX_VERSION else None
        if found is None:
            raise NoSuchVersion("no such workflow version")
        return Response(found, headers={"ETag": etag_of(version)})

    @post("/{workflow:str}/archive", status_code=200, opt=requires(Permission.WORKFLOW_PUBLISH))
    async def archive_workflow(
        self,
        workflow: FromPath[str],
        data: JSONBody[Because],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> WorkflowState:
        """No new runs and no new versions; runs under way go on."""
        return await _changed(parts, act, workflow, workspace_id, ArchiveWorkflow(reason=data.reason))

    @post("/{workflow:str}/restore", status_code=200, opt=requires(Permission.WORKFLOW_PUBLISH))
    async def restore_workflow(
        self,
        workflow: FromPath[str],
        data: JSONBody[Because],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> WorkflowState:
        """Runs and versions are taken again."""
        return await _changed(parts, act, workflow, workspace_id, RestoreWorkflow(reason=data.reason))


def named_workspace(tenant: Tenant, workspace_id: str | None) -> WorkspaceId | None:
    """None for one that is not there."""
    if workspace_id is not None:
        return WorkspaceId(workspace_id) if workspace_id in tenant.workspaces else None
    return next((each for each, name in tenant.workspaces.items() if name == DEFAULT_WORKSPACE), None)


def _named(tenant: Tenant, workflow: str, workspace_id: str | None) -> WorkflowId:
    """Names have no underscore, so an id is never one. Raises NotFound."""
    if workflow.startswith("wfl_"):
        return WorkflowId(workflow)
    workspace = named_workspace(tenant, workspace_id)
    if workspace is None:
        raise NotFound("no such workflow")
    return workflow_id(tenant.tenant_id, workspace, workflow)


async def _found(parts: ApiParts, principal: Principal, wanted: WorkflowId) -> WorkflowRow:
    async with parts.database.read(principal.tenant_id) as tx:
        row = await views.workflow(tx, wanted)
    if row is None or not may(principal, Permission.WORKFLOW_READ, row.workspace_id):
        raise NotFound("no such workflow")
    return row


async def _changed(
    parts: ApiParts, act: Act, workflow: str, workspace_id: str | None, command: ArchiveWorkflow | RestoreWorkflow
) -> WorkflowState:
    """From the log, so that what has just been published can be archived. Raises NotFound, Denied."""
    stream = StreamRef(act.tenant_id, "workflow", _named(act.tenant, workflow, workspace_id))
    published = (await parts.rulebook.version(stream, None)).published
    check_place(act.principal, Permission.WORKFLOW_PUBLISH, Permission.WORKFLOW_READ, published.workspace_id)
    state = (await act.handle(stream, command)).state
    return WorkflowState(workflow_id=WorkflowId(stream.id), newest_version=state.version, archived=state.archived)
