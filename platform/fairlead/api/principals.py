"""People, service accounts and agents, and the roles they hold.

Reads are answered from the tenant's stream that the credential was judged by, so they are never behind.
"""

from typing import Annotated

from fairlead_tenants.access import Grant, Permission, Principal, PrincipalKind, may
from fairlead_tenants.ids import PrincipalId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.domain.errors import Denied
from fairlead.domain.ids import WorkflowId
from fairlead.domain.tenants.commands import (
    AddPerson,
    CreateServiceAccount,
    DisablePrincipal,
    EnablePrincipal,
    GrantRole,
    WithdrawRole,
)
from fairlead.domain.tenants.errors import PrincipalUnknown
from fairlead.domain.tenants.events import OidcSubject
from fairlead.domain.tenants.limits import MAX_EMAIL, MAX_NAME, MAX_REASON
from fairlead.domain.tenants.states import Member, Tenant

LIST = "principals"
LineOfText = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, description="One printable line.")]
ReasonText = Annotated[str, Meta(min_length=1, max_length=MAX_REASON, description="One printable line.")]


class NewPerson(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`subject` is how the identity provider knows the person; without it nobody can sign in as them yet."""

    email: Annotated[str, Meta(min_length=3, max_length=MAX_EMAIL)]
    display_name: LineOfText
    subject: OidcSubject | None = None


class NewServiceAccount(Struct, frozen=True, forbid_unknown_fields=True):
    name: LineOfText


class Because(Struct, frozen=True, forbid_unknown_fields=True):
    reason: ReasonText


class PrincipalView(Struct, frozen=True, kw_only=True):
    """`workflow_id` is an agent's, `email` a person's."""

    principal_id: PrincipalId
    kind: PrincipalKind
    name: str
    email: str | None
    workflow_id: WorkflowId | None
    disabled: bool
    grants: tuple[Grant, ...]


class PeopleController(Controller):
    path = "/v1"
    tags = ("Principals",)

    @post("/people", opt=requires(Permission.PRINCIPAL_MANAGE))
    async def add_person(
        self, data: JSONBody[NewPerson], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[PrincipalView]:
        """Add a person. They hold nothing until a role is granted."""
        command = AddPerson(
            by=act.principal,
            now=parts.clock.now(),
            principal_id=PrincipalId(act.new_id("prn")),
            email=data.email,
            display_name=data.display_name,
            subject=data.subject,
        )
        return _created((await act.handle(act.tenant_stream, command)).state, command.principal_id)

    @post("/service-accounts", opt=requires(Permission.PRINCIPAL_MANAGE))
    async def create_service_account(
        self, data: JSONBody[NewServiceAccount], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[PrincipalView]:
        """Make a principal for a program. It can never approve."""
        principal_id, now = PrincipalId(act.new_id("prn")), parts.clock.now()
        command = CreateServiceAccount(by=act.principal, now=now, principal_id=principal_id, name=data.name)
        return _created((await act.handle(act.tenant_stream, command)).state, principal_id)


class PrincipalController(Controller):
    path = "/v1/principals"
    tags = ("Principals",)

    @get("/", opt=requires(Permission.PRINCIPAL_READ), sync_to_thread=False)
    def list_principals(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        kind: FromQuery[PrincipalKind | None] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[PrincipalView]:
        """People, service accounts and agents, by id."""
        _check_reads(principal)
        start = after(cursor, LIST, tenant.tenant_id, str) or ""
        wanted = sorted(
            each.principal_id
            for each in tenant.members.values()
            if each.principal_id > start and kind in (None, each.kind)
        )
        found = [_view(tenant.members[each]) for each in wanted[: limit + 1]]
        return page(found, limit, LIST, tenant.tenant_id, lambda each: each.principal_id)

    @get("/{principal_id:str}", opt=requires(Permission.PRINCIPAL_READ), sync_to_thread=False)
    def get_principal(
        self, principal_id: FromPath[str], principal: NamedDependency[Principal], tenant: NamedDependency[Tenant]
    ) -> PrincipalView:
        """One principal with its grants."""
        _check_reads(principal)
        member = tenant.members.get(PrincipalId(principal_id))
        if member is None:
            raise PrincipalUnknown("no such principal")
        return _view(member)

    @post("/{principal_id:str}/grants", status_code=200, opt=requires(Permission.PRINCIPAL_MANAGE))
    async def grant_role(
        self,
        principal_id: FromPath[str],
        data: JSONBody[Grant],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> PrincipalView:
        """Grant a role, everywhere or in one workspace, one environment, or both. Nobody grants what they lack."""
        known, now = PrincipalId(principal_id), parts.clock.now()
        handled = await act.handle(
            act.tenant_stream, GrantRole(by=act.principal, now=now, principal_id=known, grant=data)
        )
        return _view(handled.state.members[known])

    @post("/{principal_id:str}/grants/withdraw", status_code=200, opt=requires(Permission.PRINCIPAL_MANAGE))
    async def withdraw_role(
        self,
        principal_id: FromPath[str],
        data: JSONBody[Grant],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> PrincipalView:
        """Take exactly this grant back. It stops counting at once, for work that is queued as well."""
        known, now = PrincipalId(principal_id), parts.clock.now()
        handled = await act.handle(
            act.tenant_stream, WithdrawRole(by=act.principal, now=now, principal_id=known, grant=data)
        )
        return _view(handled.state.members[known])

    @post("/{principal_id:str}/disable", status_code=200, opt=requires(Permission.PRINCIPAL_MANAGE))
    async def disable_principal(
        self,
        principal_id: FromPath[str],
        data: JSONBody[Because],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> PrincipalView:
        """Every key of the principal stops counting at once; a disabled agent's calls are denied."""
        known, now = PrincipalId(principal_id), parts.clock.now()
        command = DisablePrincipal(by=act.principal, now=now, principal_id=known, reason=data.reason)
        return _view((await act.handle(act.tenant_stream, command)).state.members[known])

    @post("/{principal_id:str}/enable", status_code=200, opt=requires(Permission.PRINCIPAL_MANAGE))
    async def enable_principal(
        self, principal_id: FromPath[str], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> PrincipalView:
        """Roles and keys hold again as they were."""
        known = PrincipalId(principal_id)
        command = EnablePrincipal(by=act.principal, now=parts.clock.now(), principal_id=known)
        return _view((await act.handle(act.tenant_stream, command)).state.members[known])


def _check_reads(principal: Principal) -> None:
    """Principals are in no workspace: who may read in one only may not read these."""
    if not may(principal, Permission.PRINCIPAL_READ):
        raise Denied(Permission.PRINCIPAL_READ)


def _created(tenant: Tenant, principal_id: PrincipalId) -> Response[PrincipalView]:
    headers = {"Location": f"/v1/principals/{principal_id}"}
    return Response(_view(tenant.members[principal_id]), status_code=201, headers=headers)


def _view(member: Member) -> PrincipalView:
    return PrincipalView(
        principal_id=member.principal_id,
        kind=member.kind,
        name=member.name,
        email=member.email,
        workflow_id=member.workflow_id,
        disabled=member.disabled,
        grants=member.grants,
    )
