"""What workflows can be made of: tools, and the schemas of documents."""

from typing import Any

from fairlead_tenants.access import Permission
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from fairlead.api.guards import for_anybody, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.timeline_schema import export_schema
from fairlead.api.toolset_views import current
from fairlead.domain.errors import NotFound
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.schema import document_schema

LIST = "tools"
SCHEMA_MEDIA_TYPE = "application/schema+json"


class ToolUnknown(NotFound):
    """No installed connector, and no imported set, has a tool of this name."""

    code = "tool_unknown"


class CatalogueController(Controller):
    path = "/v1"
    tags = ("Catalogue",)

    @get("/tools", opt=requires(Permission.TOOL_READ, "toolset_versions"))
    async def list_tools(
        self,
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        connector: FromQuery[str | None] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ToolFacts]:
        """Every tool that can be called, with its schemas, effect, scopes and limits, by name."""
        start = after(cursor, LIST, tenant.tenant_id, str) or ""
        names = sorted(name for name in await _names(parts, tenant, connector) if name > start)[: limit + 1]
        catalogue = await parts.tools.catalogue(tenant.tenant_id, names)
        found = [catalogue[name] for name in names if name in catalogue]
        return page(found, limit, LIST, tenant.tenant_id, lambda each: each.name)

    @get("/tools/{name:str}", opt=requires(Permission.TOOL_READ))
    async def get_tool(
        self, name: FromPath[str], tenant: NamedDependency[Tenant], parts: NamedDependency[ApiParts]
    ) -> ToolFacts:
        """One tool, of an imported set in its newest version."""
        catalogue = await parts.tools.catalogue(tenant.tenant_id, [name])
        if name not in catalogue:
            raise ToolUnknown("no such tool")
        return catalogue[name]

    @get("/schemas/workflow", opt=for_anybody(), media_type=SCHEMA_MEDIA_TYPE, sync_to_thread=False)
    def get_workflow_schema(self) -> dict[str, Any]:
        """JSON Schema of workflow documents, for editors."""
        return document_schema()

    @get("/schemas/timeline", opt=for_anybody(), media_type=SCHEMA_MEDIA_TYPE, sync_to_thread=False)
    def get_timeline_schema(self) -> dict[str, Any]:
        """JSON Schema of JSON exports."""
        return export_schema()


async def _names(parts: ApiParts, tenant: Tenant, connector: str | None) -> set[str]:
    """Of the tools that are installed, and of those in the newest version of each set."""
    usable = await parts.tools.installed(tenant.tenant_id)
    installed = {name for name, tool in usable.items() if connector in (None, tool.connector)}
    async with parts.database.read(tenant.tenant_id) as tx:
        sets = [each for each in await current(tx) if connector in (None, each.name)]
    found = [await parts.tools.read(tenant.tenant_id, each.name, each.version) for each in sets]
    return installed.union(*(each.names for each in found if each is not None))
