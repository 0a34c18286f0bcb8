"""Sets of tools that a tenant imports from what a service says of itself."""

import asyncio
import hashlib
from collections import Counter
from typing import Annotated, Any

import msgspec
from fairlead_sdk.contract import Effect
from fairlead_sdk.importing import Import, Importer, ToolSet
from fairlead_tenants.access import Permission, Principal
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import toolset_views as views
from fairlead.api.acting import Act
from fairlead.api.etags import etag_of
from fairlead.api.guards import ALSO, LARGE, check_place, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.toolset_views import ImportReport, ToolsetDetail, ToolsetView
from fairlead.domain.errors import Invalid, NotFound, Problem, Rejected
from fairlead.domain.tenants.limits import MAX_REASON
from fairlead.domain.toolset_checks import checked
from fairlead.domain.toolsets import DefineToolset, ImportToolset, definition_of, definition_stream, toolset_stream

LIST = "toolsets"
VERSIONS = "toolset_versions"
MAX_DESCRIPTION_BYTES = 8 * 1024 * 1024
MAX_LEFT_OUT = 500  # of a report
MAX_VERSION = 2**31 - 1
IMPORTS = requires(Permission.TOOL_IMPORT) | {ALSO: (200,), LARGE: True}
READS = requires(Permission.TOOL_READ, "toolset_versions")

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="Stands before the dot in the tools' names.")]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_DESCRIPTION_BYTES)]
DryRun = Annotated[bool, QueryParameter(description="Only say what would be imported.")]


class ToolsetUnknown(NotFound):
    """No set of this name, or no such version of it, was imported."""

    code = "toolset_unknown"


class ToolsetNameTaken(Rejected):
    """A connector of the installation has this name."""

    code = "toolset_name_taken"


class NewToolset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`importer` is the connector that reads such descriptions; `http` reads OpenAPI 3.0 and 3.1."""

    name: Name
    description: Annotated[
        dict[str, Any] | Text, Meta(description="What the service says of itself: an object, or the text of a file.")
    ]
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, description="Why; kept for good.")]
    importer: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")] = "http"
    hints: Annotated[dict[str, Any], Meta(description="What the description does not say, or says wrongly.")] = {}


class ToolsetController(Controller):
    path = "/v1/toolsets"
    tags = ("Catalogue",)

    @post("/", opt=IMPORTS, request_max_body_size=MAX_DESCRIPTION_BYTES)
    async def import_toolset(
        self,
        data: JSONBody[NewToolset],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        dry_run: DryRun = False,
    ) -> Response[ImportReport]:
        """Make tools of a description, for this tenant alone. The same tools again are no new version.

        Operations that no tool can be made of are named with the reason. A dry run names problems as well; without it
        they are what is wrong with the request. Versions never change; workflows keep those they were published with.
        """
        check_place(act.principal, Permission.TOOL_IMPORT, Permission.TOOL_READ, None)
        _check_name(data.name, parts)
        description = (
            data.description.encode() if isinstance(data.description, str) else msgspec.json.encode(data.description)
        )
        importer = _importer(data.importer, parts)
        imported = await asyncio.to_thread(_read, importer, data, description)
        if imported.tool_set is None and not dry_run:
            raise Invalid(_problems(imported), "the description cannot be imported")
        if imported.tool_set is None or dry_run:
            return Response(_report(data.name, imported, None), status_code=200)
        return await _imported(act, data, importer, imported, imported.tool_set, description)

    @get("/", opt=READS)
    async def list_toolsets(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ToolsetView]:
        """The newest version of each set, by name."""
        start = after(cursor, LIST, principal.tenant_id, str) or ""
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.newest(tx, start, limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda each: each.name)

    @get("/{name:str}/versions", opt=READS)
    async def list_toolset_versions(
        self,
        name: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ToolsetView]:
        """Every version of a set, newest first."""
        below = after(cursor, VERSIONS, f"{principal.tenant_id}/{name}", int) or MAX_VERSION
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.versions(tx, name, below, limit + 1)
        if not found and cursor is None:
            raise ToolsetUnknown("no such set of tools")
        return page(found, limit, VERSIONS, f"{principal.tenant_id}/{name}", lambda each: each.version)

    @get("/{name:str}/versions/{version:int}", opt=READS)
    async def get_toolset_version(
        self,
        name: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
    ) -> Response[ToolsetDetail]:
        """One version, with its tools and what a connection for it needs."""
        return await _detail(parts, principal, name, version)

    @get("/{name:str}", opt=READS)
    async def get_toolset(
        self, name: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Response[ToolsetDetail]:
        """The newest version of a set, with its tools and what a connection for it needs."""
        return await _detail(parts, principal, name, None)


def _check_name(name: str, parts: ApiParts) -> None:
    """Raises ToolsetNameTaken. A connector that is broken today works tomorrow."""
    known = parts.connectors
    if name in {*known.listed, *(each.name for each in known.offers), *(each.name for each in known.broken)}:
        raise ToolsetNameTaken(f"{name} is a connector of this installation")


def _importer(name: str, parts: ApiParts) -> Importer:
    importer = parts.connectors.importer(name)
    if importer is None:
        wrong = Problem(path="/importer", message="no connector of this name imports", code="importer_unknown")
        raise Invalid([wrong], "there is no such importer")
    return importer


def _read(importer: Importer, data: NewToolset, description: bytes) -> Import:
    return checked(importer.read(data.name, description, data.hints))


def _problems(imported: Import) -> list[Problem]:
    """Paths in the request: of the hints, the name, or within the description."""
    return [
        Problem(
            path=each.path if each.path.startswith(("/hints", "/name")) else f"/description{each.path}",
            code=each.code,
            message=each.message,
        )
        for each in imported.problems
    ]


def _report(name: str, imported: Import, version: int | None) -> ImportReport:
    tool_set = imported.tool_set
    return ImportReport(
        name=name,
        version=version,
        title=tool_set.title if tool_set else "",
        problems=_problems(imported),
        left_out=list(imported.left_out[:MAX_LEFT_OUT]),
        left_out_count=len(imported.left_out),
        tools=views.briefs(tool_set.tools) if tool_set else [],
        sign_in=views.sign_in(tool_set) if tool_set else None,
    )


async def _imported(
    act: Act, data: NewToolset, importer: Importer, imported: Import, tool_set: ToolSet, description: bytes
) -> Response[ImportReport]:
    """The content first, then the version that leads to it: who finds the one finds the other."""
    definition, sha256 = definition_of(tool_set)
    define = DefineToolset(name=data.name, sha256=sha256, definition=definition)
    await act.handle(definition_stream(act.tenant_id, data.name, sha256), define, part="definition")
    by_effect: Counter[Effect] = Counter(tool.effect for tool in tool_set.tools)
    command = ImportToolset(
        name=data.name,
        title=tool_set.title,
        importer=data.importer,
        importer_version=importer.manifest.version,
        source_sha256=hashlib.sha256(description).hexdigest(),
        definition_sha256=sha256,
        hints=data.hints,
        tools_by_effect=dict(by_effect),
        left_out=len(imported.left_out),
        reason=data.reason,
    )
    handled = await act.handle(toolset_stream(act.tenant_id, data.name), command)
    version: int = handled.state.version
    headers = {"Location": f"/v1/toolsets/{data.name}/versions/{version}", "ETag": etag_of(version)}
    report = _report(data.name, imported, version)
    return Response(report, status_code=201 if handled.facts else 200, headers=headers)


async def _detail(parts: ApiParts, principal: Principal, name: str, version: int | None) -> Response[ToolsetDetail]:
    below = MAX_VERSION if version is None else min(version, MAX_VERSION - 1) + 1
    async with parts.database.read(principal.tenant_id) as tx:
        rows = await views.versions(tx, name, below, 1)
    found = rows[0] if rows and version in (None, rows[0].version) else None
    kept = await parts.tools.read(principal.tenant_id, name, found.version) if found else None
    if found is None or kept is None:
        raise ToolsetUnknown("no such set of tools, or no such version of it")
    fields = {each: getattr(found, each) for each in ToolsetView.__struct_fields__}
    detail = ToolsetDetail(**fields, sign_in=views.sign_in(kept.tool_set), tools=views.briefs(kept.tool_set.tools))
    return Response(detail, headers={"ETag": etag_of(found.version)})
