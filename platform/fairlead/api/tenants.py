"""The tenant itself, its environments, and who the caller is."""

from typing import Annotated

from fairlead_tenants.access import (
    EnvironmentKind,
    Grant,
    Permission,
    Principal,
    PrincipalKind,
    carries,
    held,
    workspaces_where,
)
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId
from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import for_anyone_signed_in, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.workspaces import SlugName
from fairlead.domain.tenants.commands import ChangeToolCap, CreateEnvironment
from fairlead.domain.tenants.errors import EnvironmentUnknown
from fairlead.domain.tenants.limits import MAX_TOOL_CAP
from fairlead.domain.tenants.states import Tenant

NOWHERE: frozenset[object] = frozenset()


class TenantView(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    name: str
    tool_cap: Annotated[int, Meta(description="How many tools the allow-list of one workflow may name.")]


class TenantChange(Struct, frozen=True, forbid_unknown_fields=True):
    tool_cap: Annotated[int, Meta(ge=1, le=MAX_TOOL_CAP)]


class Me(Struct, frozen=True, kw_only=True):
    """`permissions` are those that the credential carries somewhere; grants say where."""

    tenant_id: TenantId
    principal_id: PrincipalId
    kind: PrincipalKind
    name: str
    grants: tuple[Grant, ...]
    permissions: list[Permission]
    environment_id: EnvironmentId | None
    key_id: ApiKeyId | None


class TenantController(Controller):
    path = "/v1"
    tags = ("Tenant",)

    @get("/me", opt=for_anyone_signed_in(), sync_to_thread=False)
    def get_me(self, principal: NamedDependency[Principal], tenant: NamedDependency[Tenant]) -> Me:
        """Whom the credential stands for, and what it may do."""
        granted = held(principal.kind, principal.grants)
        return Me(
            tenant_id=principal.tenant_id,
            principal_id=principal.principal_id,
            kind=principal.kind,
            name=tenant.members[principal.principal_id].name,
            grants=principal.grants,
            permissions=sorted(permission for permission in granted if carries(principal, permission)),
            environment_id=principal.environment_id,
            key_id=principal.key_id,
        )

    @get("/tenant", opt=requires(Permission.TENANT_READ), sync_to_thread=False)
    def get_tenant(self, tenant: NamedDependency[Tenant]) -> TenantView:
        """The tenant that the credential belongs to."""
        return _tenant_view(tenant)

    @patch("/tenant", opt=requires(Permission.TENANT_MANAGE))
    async def change_tenant(
        self, data: JSONBody[TenantChange], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> TenantView:
        """Change how many tools one workflow may name. Published versions stay as they are."""
        command = ChangeToolCap(by=act.principal, now=parts.clock.now(), cap=data.tool_cap)
        return _tenant_view((await act.handle(act.tenant_stream, command)).state)


def _tenant_view(tenant: Tenant) -> TenantView:
    return TenantView(tenant_id=tenant.tenant_id, name=tenant.name, tool_cap=tenant.tool_cap)


class NewEnvironment(Struct, frozen=True, forbid_unknown_fields=True):
    name: SlugName
    kind: EnvironmentKind


class EnvironmentView(Struct, frozen=True, kw_only=True):
    environment_id: EnvironmentId
    name: str
    kind: Annotated[EnvironmentKind, Meta(description="Fixed for ever; part of the text of each key.")]


class EnvironmentController(Controller):
    path = "/v1/environments"
    tags = ("Environments",)

    @get("/", opt=requires(Permission.WORKSPACE_READ), sync_to_thread=False)
    def list_environments(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[EnvironmentView]:
        """Those that the credential reaches, by id."""
        start = after(cursor, "environments", tenant.tenant_id, str) or ""
        found = [_environment_view(tenant, each) for each in sorted(_seen(principal, tenant)) if each > start]
        return page(found[: limit + 1], limit, "environments", tenant.tenant_id, lambda each: each.environment_id)

    @get("/{environment_id:str}", opt=requires(Permission.WORKSPACE_READ), sync_to_thread=False)
    def get_environment(
        self, environment_id: FromPath[str], principal: NamedDependency[Principal], tenant: NamedDependency[Tenant]
    ) -> EnvironmentView:
        """One environment."""
        if environment_id not in _seen(principal, tenant):
            raise EnvironmentUnknown("no such environment")
        return _environment_view(tenant, EnvironmentId(environment_id))

    @post("/", opt=requires(Permission.WORKSPACE_MANAGE))
    async def create_environment(
        self, data: JSONBody[NewEnvironment], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[EnvironmentView]:
        """Make an environment. Keys, and so runs, stand in exactly one."""
        environment_id = EnvironmentId(act.new_id("env"))
        command = CreateEnvironment(
            by=act.principal,
            now=parts.clock.now(),
            environment_id=environment_id,
            name=data.name,
            kind=data.kind,
        )
        handled = await act.handle(act.tenant_stream, command)
        headers = {"Location": f"/v1/environments/{environment_id}"}
        return Response(_environment_view(handled.state, environment_id), status_code=201, headers=headers)


def _seen(principal: Principal, tenant: Tenant) -> list[EnvironmentId]:
    needed = Permission.WORKSPACE_READ
    return [each for each in tenant.environments if workspaces_where(principal, needed, each) != NOWHERE]


def _environment_view(tenant: Tenant, environment_id: EnvironmentId) -> EnvironmentView:
    environment = tenant.environments[environment_id]
    return EnvironmentView(environment_id=environment_id, name=environment.name, kind=environment.kind)
