"""Workspaces: what workflows and runs belong to."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import WorkspaceId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.domain.tenants.commands import CreateWorkspace
from fairlead.domain.tenants.errors import WorkspaceUnknown
from fairlead.domain.tenants.states import Tenant

SLUG = r"^[a-z][a-z0-9-]{0,62}$"
SlugName = Annotated[str, Meta(pattern=SLUG, max_length=63, description="Unique in the tenant.")]


class NewWorkspace(Struct, frozen=True, forbid_unknown_fields=True):
    name: SlugName


class WorkspaceView(Struct, frozen=True, kw_only=True):
    workspace_id: WorkspaceId
    name: str


class WorkspaceController(Controller):
    path = "/v1/workspaces"
    tags = ("Workspaces",)

    @get("/", opt=requires(Permission.WORKSPACE_READ), sync_to_thread=False)
    def list_workspaces(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[WorkspaceView]:
        """Those that the principal may see, by id."""
        start = after(cursor, "workspaces", tenant.tenant_id, str) or ""
        found = [
            WorkspaceView(workspace_id=workspace_id, name=name)
            for workspace_id, name in sorted(tenant.workspaces.items())
            if workspace_id > start and may(principal, Permission.WORKSPACE_READ, workspace_id)
        ]
        return page(found[: limit + 1], limit, "workspaces", tenant.tenant_id, lambda each: each.workspace_id)

    @get("/{workspace_id:str}", opt=requires(Permission.WORKSPACE_READ), sync_to_thread=False)
    def get_workspace(
        self, workspace_id: FromPath[str], principal: NamedDependency[Principal], tenant: NamedDependency[Tenant]
    ) -> WorkspaceView:
        """One workspace."""
        known = WorkspaceId(workspace_id)
        if known not in tenant.workspaces or not may(principal, Permission.WORKSPACE_READ, known):
            raise WorkspaceUnknown("no such workspace")
        return WorkspaceView(workspace_id=known, name=tenant.workspaces[known])

    @post("/", opt=requires(Permission.WORKSPACE_MANAGE))
    async def create_workspace(
        self, data: JSONBody[NewWorkspace], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[WorkspaceView]:
        """Make a workspace. Grants can be limited to it."""
        workspace_id = WorkspaceId(act.new_id("wsp"))
        command = CreateWorkspace(by=act.principal, now=parts.clock.now(), workspace_id=workspace_id, name=data.name)
        await act.handle(act.tenant_stream, command)
        made = WorkspaceView(workspace_id=workspace_id, name=data.name)
        return Response(made, status_code=201, headers={"Location": f"/v1/workspaces/{workspace_id}"})
