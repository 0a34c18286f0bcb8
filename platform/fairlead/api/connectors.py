"""Connectors: what is installed here, what was decided about it, and which version of it the tenant uses."""

from collections.abc import Iterator
from typing import Annotated

from fairlead_tenants.access import Permission
from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.parts import ApiParts, Connectors
from fairlead.domain.connectors.catalogue import ConnectorUnknown, Entry, Status
from fairlead.domain.connectors.versions import Version
from fairlead.domain.errors import Invalid, Problem, Rejected
from fairlead.domain.tenants.choices import Offer
from fairlead.domain.tenants.commands import DisableConnector, UseConnector
from fairlead.domain.tenants.limits import MAX_REASON
from fairlead.domain.tenants.states import Choice, Tenant
from fairlead.handling.tenant_tools import TenantTools

MANAGES = requires(Permission.CONNECTOR_MANAGE)
_MAX_MAJOR = 1_000_000
_TOLD: tuple[Status, ...] = ("approved", "withdrawn")  # why something was rejected is between operator and author

Reason = Annotated[str, QueryParameter(min_length=1, max_length=MAX_REASON, description="Why; one printable line.")]


class VersionNotInstalled(Rejected):
    """The connector is installed, and not in this version."""

    code = "connector_version_not_installed"


class ConnectorVersion(Struct, frozen=True, kw_only=True):
    """`review` is missing for a connector that is installed beside the program and not from the catalogue."""

    version: str
    installed: bool
    usable: bool
    review: Status | None
    reason: Annotated[str | None, Meta(description="Why it cannot be used, or what was said of it.")]


class ConnectorView(Struct, frozen=True, kw_only=True):
    """`version` is the one whose tools the tenant can call, null for none."""

    name: str
    version: str | None
    usable: Annotated[bool, Meta(description="Whether any version of it can be used here.")]
    reason: Annotated[str | None, Meta(description="Why it cannot be used; the others are not touched by it.")]
    by_default: Annotated[bool, Meta(description="Whether tenants use it unless they say otherwise.")]
    choice: Annotated[Choice | None, Meta(description="What the tenant says of it.")]
    versions: Annotated[list[ConnectorVersion], Meta(description="Newest first.")]


class ConnectorList(Struct, frozen=True):
    items: list[ConnectorView]


class ConnectorChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of both, or neither for the newest that is installed and what follows it under the same major version."""

    version: Annotated[str, Meta(max_length=64, description="This one alone.")] | None = None
    major: Annotated[int, Meta(ge=0, le=_MAX_MAJOR, description="The newest of these, now and later.")] | None = None


class ConnectorController(Controller):
    path = "/v1/connectors"
    tags = ("Catalogue",)

    @get("/", opt=requires(Permission.TOOL_READ))
    async def list_connectors(self, tenant: NamedDependency[Tenant], parts: NamedDependency[ApiParts]) -> ConnectorList:
        """What is installed here in which versions, what was reviewed, what cannot be used and why, and what this
        tenant uses of it."""
        return ConnectorList(await _views(parts.connectors, parts.tools, tenant))

    @get("/{name:str}", opt=requires(Permission.TOOL_READ))
    async def get_connector(
        self, name: FromPath[str], tenant: NamedDependency[Tenant], parts: NamedDependency[ApiParts]
    ) -> ConnectorView:
        """One connector."""
        return await _view(parts, tenant, name)

    @put("/{name:str}", opt=MANAGES)
    async def use_connector(
        self,
        name: FromPath[str],
        data: JSONBody[ConnectorChoice],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> ConnectorView:
        """Use a connector: the newest of a major version, or one version alone. Runs under way go on with it."""
        major, version = _chosen(_offer(parts.connectors, name), data)
        command = UseConnector(by=act.principal, now=parts.clock.now(), connector=name, major=major, version=version)
        return await _view(parts, (await act.handle(act.tenant_stream, command)).state, name)

    @delete("/{name:str}", opt=MANAGES, status_code=204)
    async def disable_connector(
        self, name: FromPath[str], reason: Reason, act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> None:
        """Use a connector no more. Calls that are about to be made are denied, also those of runs under way."""
        if name not in act.tenant.connectors:
            _offer(parts.connectors, name)
        command = DisableConnector(by=act.principal, now=parts.clock.now(), connector=name, reason=reason)
        await act.handle(act.tenant_stream, command)


def _offer(connectors: Connectors, name: str) -> Offer:
    """Raises ConnectorUnknown."""
    for offer in connectors.offers:
        if offer.name == name:
            return offer
    raise ConnectorUnknown("no such connector is installed")


def _chosen(offer: Offer, data: ConnectorChoice) -> tuple[int, str | None]:
    """Raises Invalid, VersionNotInstalled."""
    if data.version is not None and data.major is not None:
        raise Invalid([Problem(path="/major", message="cannot be given beside version")])
    if data.version is not None:
        if data.version not in offer.versions:
            raise VersionNotInstalled(f"{offer.name} {data.version} is not installed")
        return Version(data.version).major, data.version
    newest = offer.newest(data.major)
    if newest is None:
        raise VersionNotInstalled(f"no version {data.major} of {offer.name} is installed")
    return Version(newest).major, None


async def _view(parts: ApiParts, tenant: Tenant, name: str) -> ConnectorView:
    """Raises ConnectorUnknown."""
    for view in await _views(parts.connectors, parts.tools, tenant):
        if view.name == name:
            return view
    raise ConnectorUnknown("no such connector")


async def _views(connectors: Connectors, tools: TenantTools, tenant: Tenant) -> list[ConnectorView]:
    tools.saw(tenant)
    used = await tools.uses(tenant.tenant_id)
    offers = {offer.name: offer for offer in connectors.offers}
    names = {*offers, *connectors.listed, *(each.name for each in connectors.broken)}
    views = []
    for name in sorted(names):
        versions, offer = list(_versions(connectors, name)), offers.get(name)
        view = ConnectorView(
            name=name,
            version=used.get(name),
            usable=any(each.usable for each in versions),
            reason=next((each.reason for each in connectors.broken if each.name == name), None),
            by_default=offer is not None and offer.by_default,
            choice=tenant.connectors.get(name),
            versions=versions,
        )
        views.append(view)
    return views


def _versions(connectors: Connectors, name: str) -> Iterator[ConnectorVersion]:
    """Newest first."""
    offered = next((offer.versions for offer in connectors.offers if offer.name == name), ())
    broken = {each.version: each.reason for each in connectors.broken if each.name == name and each.version}
    entries = connectors.listed[name].versions if name in connectors.listed else {}
    for version in sorted({*offered, *broken, *entries}, key=Version, reverse=True):
        entry = entries.get(version)
        yield ConnectorVersion(
            version=version,
            installed=entry.installed if entry else True,
            usable=version in offered,
            review=entry.status if entry else None,
            reason=broken.get(version) or _said(entry),
        )


def _said(entry: Entry | None) -> str | None:
    return entry.reason or None if entry and entry.status in _TOLD else None
