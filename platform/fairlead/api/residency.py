"""Where the tenant's data may be read, and by whose models."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import PrincipalId
from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import requires
from fairlead.api.parts import ApiParts
from fairlead.api.policies import Reason
from fairlead.api.problems import PreconditionFailed
from fairlead.api.publishing import IfMatch
from fairlead.domain.errors import Denied
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import ConnectorName
from fairlead.domain.routing import residency as r
from fairlead.domain.routing.document import Region


class ResidencySetting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Null: any. A model of which nobody says where what is sent may be read is not asked while regions are named."""

    reason: Reason
    regions: Annotated[tuple[Region, ...], Meta(max_length=r.MAX_NAMED)] | None = None
    providers: Annotated[tuple[ConnectorName, ...], Meta(max_length=r.MAX_NAMED)] | None = None


class ResidencyView(Struct, frozen=True, kw_only=True):
    """Version 0 is before anybody has said anything: any region, any provider."""

    version: int
    regions: tuple[str, ...] | None
    providers: tuple[str, ...] | None
    changed_by: PrincipalId | None
    changed_at: Instant | None
    reason: str | None


@get("/v1/residency", opt=requires(Permission.ROUTE_READ), tags=["Routes"])
async def get_residency(
    principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
) -> Response[ResidencyView]:
    """Which regions and providers may see the tenant's data."""
    return _answered((await parts.handler.load(r.residency_stream(principal.tenant_id))).state)


@put("/v1/residency", opt=requires(Permission.RESIDENCY_MANAGE), tags=["Routes"])
async def set_residency(
    data: JSONBody[ResidencySetting],
    act: NamedDependency[Act],
    parts: NamedDependency[ApiParts],
    if_match: IfMatch = None,
) -> Response[ResidencyView]:
    """Say which regions and providers may see the tenant's data. It counts within a second for every model that is
    asked, whatever its route says."""
    if not may(act.principal, Permission.RESIDENCY_MANAGE):
        raise Denied(Permission.RESIDENCY_MANAGE)
    command = r.ChangeResidency(
        regions=data.regions,
        providers=data.providers,
        reason=data.reason,
        by=act.principal.principal_id,
        now=parts.clock.now(),
        expected_version=expected_version(if_match, None),
    )
    stream = r.residency_stream(act.tenant_id)
    try:
        handled = await act.handle(stream, command)
    except r.ResidencyMoved as moved:
        raise PreconditionFailed(str(moved)) from moved
    parts.routes.changed(stream)
    return _answered(handled.state)


def _answered(state: r.ResidencyState) -> Response[ResidencyView]:
    last = state.last
    view = ResidencyView(
        version=state.version,
        regions=last.regions if last else None,
        providers=last.providers if last else None,
        changed_by=last.changed_by if last else None,
        changed_at=last.changed_at if last else None,
        reason=last.reason if last else None,
    )
    return Response(view, headers={"ETag": etag_of(state.version)})
