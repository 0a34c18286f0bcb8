"""What models cost: a tenant's own prices, in versions, and what a call costs by them and by the table that ships."""

from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal, may
from litestar import Controller, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import price_views as views
from fairlead.api.acting import Act
from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import ALSO, DOCUMENT, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.price_views import PriceVersionDetail, PriceVersionView
from fairlead.api.problems import PreconditionFailed
from fairlead.api.publishing import IfMatch, IfNoneMatch
from fairlead.domain import price_lists as p
from fairlead.domain.errors import Denied
from fairlead.domain.policy.difference import Change, difference
from fairlead.domain.prices import Rates
from fairlead.domain.tenants.limits import MAX_REASON

LIST = "price_versions"
MAX_VERSION = 2**31 - 1
READS = requires(Permission.PRICE_READ, "price_versions")
PUBLISHES = requires(Permission.PRICE_MANAGE)

Reason = Annotated[str, Meta(min_length=1, max_length=MAX_REASON, description="Why; one printable line.")]
Because = Annotated[str, QueryParameter(min_length=1, max_length=MAX_REASON, description="Why; one printable line.")]


class PublishedPrices(Struct, frozen=True, kw_only=True):
    """The newest version, which is the one before when the document is the same."""

    version: int
    document_hash: str


class PricesRollBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    to_version: Annotated[int, Meta(ge=1, le=MAX_VERSION)]


class PricesDifference(Struct, frozen=True, kw_only=True):
    """RFC 6902 operations that lead from version `base` to version `version`."""

    base: int
    version: int
    changes: list[Change]


class ModelPrice(Struct, frozen=True, kw_only=True):
    """`price_version` names the table that says it: the tenant's own, or the one that ships. `rates` are in millionths
    of a US dollar for a million tokens."""

    price_version: str
    rates: Rates


class PriceController(Controller):
    path = "/v1/prices"
    tags = ("Prices",)

    @get("/", opt=READS)
    async def get_prices(
        self, principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Response[PriceVersionDetail]:
        """The tenant's own prices as they count now. Their ETag is for `If-Match` when publishing."""
        _check(principal, Permission.PRICE_READ)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.newest(tx)
        if found is None:
            raise p.NoSuchPrices("no prices were published")
        return Response(found, headers={"ETag": etag_of(found.version)})

    @get("/versions", opt=READS)
    async def list_price_versions(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[PriceVersionView]:
        """Every version ever published, newest first, without the documents."""
        _check(principal, Permission.PRICE_READ)
        below = after(cursor, LIST, principal.tenant_id, int) or MAX_VERSION
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.versions(tx, below, limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda each: each.version)

    @get("/versions/{version:int}", opt=READS)
    async def get_price_version(
        self, version: FromPath[int], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Response[PriceVersionDetail]:
        """One version with its document. It never changes."""
        return Response(await _version(parts, principal, version), headers={"ETag": etag_of(version)})

    @get("/versions/{version:int}/difference", opt=READS)
    async def get_price_difference(
        self,
        version: FromPath[int],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        base: Annotated[int | None, QueryParameter(ge=0, le=MAX_VERSION, description="Else the one before.")] = None,
    ) -> PricesDifference:
        """What a version changed. Version 0 is the empty document."""
        before = version - 1 if base is None else base
        new = await _version(parts, principal, version)
        old: dict[str, Any] = (await _version(parts, principal, before)).document if before else {}
        return PricesDifference(base=before, version=version, changes=difference(old, new.document))

    @get("/lookup", opt=requires(Permission.PRICE_READ))
    async def look_up_price(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        provider: Annotated[str, QueryParameter(min_length=1, max_length=100, description="A connector's name.")],
        model: Annotated[str, QueryParameter(min_length=1, max_length=200)],
        host: Annotated[str, QueryParameter(max_length=253, description="The server's, where it may be many.")] = "",
    ) -> ModelPrice:
        """What a call of a model costs now, and by which table. A model that nobody knows the price of is not asked."""
        _check(principal, Permission.PRICE_READ)
        found = await parts.prices.price(principal.tenant_id, provider, model, host=host)
        return ModelPrice(price_version=found.version, rates=found.rates)

    @put("/", opt=PUBLISHES | {DOCUMENT: {"type": "object"}, ALSO: (201,)})
    async def publish_prices(
        self,
        request: ApiRequest,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        reason: Because,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response[PublishedPrices]:
        """Publish a version: the body is the document, in JSON or YAML. It counts for every call that is made later."""
        _check(act.principal, Permission.PRICE_MANAGE)
        expected = expected_version(if_match, if_none_match)
        document = await document_of(request)
        p.checked(document)
        return await _published(
            act, parts, p.PublishPrices(document=document, reason=reason, expected_version=expected)
        )

    @post("/rollback", opt=PUBLISHES, status_code=200)
    async def roll_back_prices(
        self, data: JSONBody[PricesRollBack], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[PublishedPrices]:
        """Publish an earlier version's document again, as the newest."""
        _check(act.principal, Permission.PRICE_MANAGE)
        earlier = await parts.prices.version(act.tenant_id, data.to_version)
        made = await _published(act, parts, p.PublishPrices(document=earlier.document, reason=data.reason))
        made.status_code = 200
        return made


async def _published(act: Act, parts: ApiParts, command: p.PublishPrices) -> Response[PublishedPrices]:
    try:
        handled = await act.handle(p.stream_of(act.tenant_id), command)
    except p.PricesMoved as moved:
        raise PreconditionFailed(str(moved)) from moved
    state: p.Prices = handled.state
    assert state.last is not None, "something was published"
    parts.prices.saw(act.tenant_id, state)
    made = PublishedPrices(version=state.version, document_hash=state.last.document_hash)
    headers = {"ETag": etag_of(state.version), "Location": f"/v1/prices/versions/{state.version}"}
    return Response(made, status_code=201 if handled.facts else 200, headers=headers)


def _check(principal: Principal, needed: Permission) -> None:
    """It is about the whole tenant: a grant for a part of it is not enough."""
    if not may(principal, needed):
        raise Denied(needed)


async def _version(parts: ApiParts, principal: Principal, wanted: int) -> PriceVersionDetail:
    _check(principal, Permission.PRICE_READ)
    async with parts.database.read(principal.tenant_id) as tx:
        found = await views.version(tx, wanted) if 1 <= wanted <= MAX_VERSION else None
    if found is None:
        raise p.NoSuchPrices("no such version of the prices")
    return found
