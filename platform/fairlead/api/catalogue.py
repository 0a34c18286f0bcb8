"""What workflows can be made of: tools, the connectors they come from, and the schemas of documents."""

from typing import Annotated, Any

from fairlead_tenants.access import Permission
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta, Struct

from fairlead.api.guards import for_anybody, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.timeline_schema import export_schema
from fairlead.domain.errors import NotFound
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.schema import document_schema

LIST = "tools"
SCHEMA_MEDIA_TYPE = "application/schema+json"


class ToolUnknown(NotFound):
    """No installed connector has a tool of this name."""

    code = "tool_unknown"


class ConnectorView(Struct, frozen=True, kw_only=True):
    name: str
    version: str | None
    usable: bool
    reason: Annotated[str | None, Meta(description="Why it cannot be used; the others are not touched by it.")]


class ConnectorList(Struct, frozen=True):
    items: list[ConnectorView]


class CatalogueController(Controller):
    path = "/v1"
    tags = ("Catalogue",)

    @get("/tools", opt=requires(Permission.TOOL_READ), sync_to_thread=False)
    def list_tools(
        self,
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        connector: FromQuery[str | None] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ToolFacts]:
        """Every tool that can be called, with its schemas, effect, scopes and limits, by name."""
        start = after(cursor, LIST, tenant.tenant_id, str) or ""
        found = [
            tool
            for name, tool in parts.connectors.catalogue.items()
            if name > start and connector in (None, tool.connector)
        ]
        return page(found[: limit + 1], limit, LIST, tenant.tenant_id, lambda each: each.name)

    @get("/tools/{name:str}", opt=requires(Permission.TOOL_READ), sync_to_thread=False)
    def get_tool(self, name: FromPath[str], parts: NamedDependency[ApiParts]) -> ToolFacts:
        """One tool."""
        if name not in parts.connectors.catalogue:
            raise ToolUnknown("no such tool")
        return parts.connectors.catalogue[name]

    @get("/connectors", opt=requires(Permission.TOOL_READ), sync_to_thread=False)
    def list_connectors(self, parts: NamedDependency[ApiParts]) -> ConnectorList:
        """What is installed here, and what was allowed and cannot be used, with the reason."""
        usable = [
            ConnectorView(name=name, version=version, usable=True, reason=None)
            for name, version in parts.connectors.versions.items()
        ]
        broken = [
            ConnectorView(name=each.name, version=None, usable=False, reason=each.reason)
            for each in parts.connectors.broken
        ]
        return ConnectorList(sorted(usable + broken, key=lambda each: each.name))

    @get("/schemas/workflow", opt=for_anybody(), media_type=SCHEMA_MEDIA_TYPE, sync_to_thread=False)
    def get_workflow_schema(self) -> dict[str, Any]:
        """JSON Schema of workflow documents, for editors."""
        return document_schema()

    @get("/schemas/timeline", opt=for_anybody(), media_type=SCHEMA_MEDIA_TYPE, sync_to_thread=False)
    def get_timeline_schema(self) -> dict[str, Any]:
        """JSON Schema of JSON exports."""
        return export_schema()
