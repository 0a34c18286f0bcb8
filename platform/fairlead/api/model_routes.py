"""Routes of models: published as documents, never changed, read with their versions, taken back, retired.

A route is for the whole tenant. Whoever may read any may read all; changing one needs a grant for the whole tenant.
"""

import re
from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import TenantId
from litestar import Controller, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import route_views as views
from fairlead.api.acting import Act
from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import ALSO, DOCUMENT, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.policies import Because, Reason
from fairlead.api.problems import PreconditionFailed
from fairlead.api.publishing import IfMatch, IfNoneMatch
from fairlead.api.route_views import RouteVersionDetail, RouteVersionView, RouteView
from fairlead.domain.errors import Denied
from fairlead.domain.ids import RouteId
from fairlead.domain.policy.difference import Change, difference
from fairlead.domain.routing import routes as r
from fairlead.domain.routing.checks import checked
from fairlead.domain.workflow.document import NAME

LIST = "routes"
VERSIONS = "route_versions"
MAX_VERSION = 2**31 - 1
READS = requires(Permission.ROUTE_READ, "route_versions")
PUBLISHES = requires(Permission.ROUTE_PUBLISH)


class RouteState(Struct, frozen=True, kw_only=True):
    """`shares` are those of candidates that were moved on while they are rolled out, in percent."""

    name: str
    route_id: RouteId
    version: int
    document_hash: str
    retired: bool
    shares: dict[str, int]


class RouteDetail(RouteView, frozen=True, kw_only=True):
    """With its newest document, and `shares` as in what publishing answers."""

    document: dict[str, Any]
    shares: dict[str, int]


class RouteRollBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    to_version: Annotated[int, Meta(ge=1, le=MAX_VERSION, description="Left out: the one before.")] | None = None


class RouteDifference(Struct, frozen=True, kw_only=True):
    """RFC 6902 operations that lead from version `base` to version `version`; candidates are known by their ids."""

    name: str
    base: int
    version: int
    changes: list[Change]


class RouteController(Controller):
    path = "/v1/routes"
    tags = ("Routes",)

    @get("/", opt=READS)
    async def list_routes(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[RouteView]:
        """The tenant's routes, by name, retired ones too."""
        start = after(cursor, LIST, principal.tenant_id, str) or ""
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.listed(tx, start, limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda each: each.name)

    @get("/{route:str}", opt=READS)
    async def get_route(
        self, route: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Response[RouteDetail]:
        """One route with its newest document. Its ETag is that of its newest version, for `If-Match`."""
        wanted = _id(principal.tenant_id, route)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.route(tx, wanted)
            newest = await views.version(tx, wanted, found.newest_version) if found else None
        if found is None or newest is None:
            raise r.NoSuchRoute("no such route")
        state: r.RouteState = (await parts.handler.load(r.route_stream(principal.tenant_id, route))).state
        shares = dict(state.shares) if isinstance(state, r.Published) else {}
        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        shown = RouteDetail(document=newest.document, shares=shares, **fields)
        return Response(shown, headers={"ETag": etag_of(found.newest_version)})

    @get("/{route:str}/versions", opt=READS)
    async def list_route_versions(
        self,
        route: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[RouteVersionView]:
        """Every version ever published, newest first, without the documents."""
        wanted = _id(principal.tenant_id, route)
        below = after(cursor, VERSIONS, wanted, int) or MAX_VERSION
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.versions(tx, wanted, below, limit + 1)
        if not found and cursor is None:
            raise r.NoSuchRoute("no such route")
        return page(found, limit, VERSIONS, wanted, lambda each: each.version)

    @get("/{route:str}/versions/{version:int}", opt=READS)
    async def get_route_version(
        self,
        route: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
    ) -> Response[RouteVersionDetail]:
        """One version with its document. It never changes."""
        found = await _version(parts, principal.tenant_id, route, version)
        return Response(found, headers={"ETag": etag_of(version)})

    @get("/{route:str}/versions/{version:int}/difference", opt=READS)
    async def get_route_difference(
        self,
        route: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        base: Annotated[int | None, QueryParameter(ge=0, le=MAX_VERSION, description="Else the one before.")] = None,
    ) -> RouteDifference:
        """What a version changed. Version 0 is the empty document."""
        before = version - 1 if base is None else base
        new = await _version(parts, principal.tenant_id, route, version)
        old = (await _version(parts, principal.tenant_id, route, before)).document if before else {}
        return RouteDifference(name=route, base=before, version=version, changes=difference(old, new.document))

    @put("/{route:str}", opt=PUBLISHES | {DOCUMENT: {"type": "object"}, ALSO: (201,)})
    async def publish_route(
        self,
        request: ApiRequest,
        route: FromPath[str],
        act: NamedDependency[Act],
        reason: Because,
        parts: NamedDependency[ApiParts],
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response[RouteState]:
        """Publish a version: the body is the document, in JSON or YAML. It counts within a second, everywhere.

        Publishing the same again adds none, unless a candidate was rolled back: it then gets another chance.
        """
        _check(act.principal)
        _id(act.tenant_id, route)
        expected = expected_version(if_match, if_none_match)
        document = await document_of(request)
        checked(document)
        command = r.PublishRoute(
            name=route, document=document, reason=reason, now=parts.clock.now(), expected_version=expected
        )
        return await _published(act, parts, route, command)

    @post("/{route:str}/rollback", status_code=200, opt=PUBLISHES | {ALSO: (201,)})
    async def roll_back_route(
        self,
        route: FromPath[str],
        data: JSONBody[RouteRollBack],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> Response[RouteState]:
        """Publish the document of an earlier version again, as a version of its own."""
        _check(act.principal)
        _id(act.tenant_id, route)
        history = r.versions(await parts.log.read(r.route_stream(act.tenant_id, route)))
        wanted = data.to_version if data.to_version is not None else len(history) - 1
        if not 1 <= wanted <= len(history):
            raise r.NoSuchRoute("no such route, or no such version of it")
        command = r.PublishRoute(
            name=route,
            document=history[wanted - 1].published.document,
            reason=data.reason,
            now=parts.clock.now(),
            expected_version=len(history),
            restores=wanted,
        )
        return await _published(act, parts, route, command)

    @delete("/{route:str}", status_code=200, opt=PUBLISHES)
    async def retire_route(
        self, route: FromPath[str], reason: Because, act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> RouteState:
        """Nothing is asked by it any more. Its versions stay, and it can be published again."""
        _check(act.principal)
        _id(act.tenant_id, route)
        stream = r.route_stream(act.tenant_id, route)
        state: r.Published = (await act.handle(stream, r.RetireRoute(reason=reason))).state
        parts.routes.changed(stream)
        return _state(act.tenant_id, state)

    @delete("/{route:str}/answers", status_code=204, opt=PUBLISHES)
    async def forget_answers(
        self, route: FromPath[str], reason: Because, act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> None:
        """Give no answer again that was kept until now. Within a second, everywhere."""
        _check(act.principal)
        _id(act.tenant_id, route)
        stream = r.route_stream(act.tenant_id, route)
        await act.handle(stream, r.ForgetAnswers(reason=reason))
        parts.routes.changed(stream)


async def _published(act: Act, parts: ApiParts, route: str, command: r.PublishRoute) -> Response[RouteState]:
    stream = r.route_stream(act.tenant_id, route)
    try:
        handled = await act.handle(stream, command)
    except r.RouteVersionMismatch as mismatch:
        raise PreconditionFailed(str(mismatch)) from mismatch
    parts.routes.changed(stream)
    state: r.Published = handled.state
    headers = {"ETag": etag_of(state.version), "Location": f"/v1/routes/{route}/versions/{state.version}"}
    return Response(_state(act.tenant_id, state), status_code=201 if handled.facts else 200, headers=headers)


def _state(tenant_id: TenantId, state: r.Published) -> RouteState:
    return RouteState(
        name=state.name,
        route_id=r.route_id(tenant_id, state.name),
        version=state.version,
        document_hash=state.document_hash,
        retired=state.retired,
        shares=dict(state.shares),
    )


def _check(principal: Principal) -> None:
    if not may(principal, Permission.ROUTE_PUBLISH):
        raise Denied(Permission.ROUTE_PUBLISH)


def _id(tenant_id: TenantId, name: str) -> RouteId:
    """Raises NoSuchRoute for what no route can be called."""
    if re.fullmatch(NAME, name) is None:
        raise r.NoSuchRoute("no route can have this name")
    return r.route_id(tenant_id, name)


async def _version(parts: ApiParts, tenant_id: TenantId, route: str, version: int) -> RouteVersionDetail:
    wanted = _id(tenant_id, route)
    async with parts.database.read(tenant_id) as tx:
        found = await views.version(tx, wanted, version) if 1 <= version <= MAX_VERSION else None
    if found is None:
        raise r.NoSuchRoute("no such route, or no such version of it")
    return found
