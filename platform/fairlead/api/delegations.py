"""Delegations: whose approving somebody else may do for a while."""

from typing import Annotated, Literal

from fairlead_tenants.access import Permission, Principal, Role
from fairlead_tenants.ids import PrincipalId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.runs import Reason
from fairlead.api.workspaces import SLUG
from fairlead.domain.ids import DelegationId
from fairlead.domain.instant import Instant
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import DelegateApproving, RevokeDelegation
from fairlead.domain.tenants.errors import DelegationUnknown
from fairlead.domain.tenants.states import Delegation, Tenant

LIST = "delegations"
WorkflowName = Annotated[str, Meta(pattern=SLUG, max_length=63)]


class NewDelegation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To another person, until a time at most 90 days away. `workflows` and `roles` narrow it; empty: all of yours."""

    delegate: Annotated[str, Meta(min_length=1, max_length=64, description="Another person's principal id.")]
    until: Instant
    reason: Reason
    workflows: Annotated[tuple[WorkflowName, ...], Meta(max_length=limits.MAX_DELEGATED_WORKFLOWS)] = ()
    roles: Annotated[tuple[Role, ...], Meta(max_length=len(Role))] = ()


class Revocation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class DelegationView(Struct, frozen=True, kw_only=True):
    """While it `holds`, `delegate` may answer approvals on behalf of `delegator`."""

    delegation_id: DelegationId
    delegator: PrincipalId
    delegate: PrincipalId
    workflows: tuple[str, ...]
    roles: tuple[Role, ...]
    status: Literal["holds", "ended", "revoked"]
    delegated_at: Instant
    until: Instant
    revoked_at: Instant | None
    reason: str


class DelegationController(Controller):
    path = "/v1/delegations"
    tags = ("Approvals",)

    @get("/", opt=requires(Permission.APPROVAL_READ), sync_to_thread=False)
    def list_delegations(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        mine: Annotated[bool, QueryParameter(name="mine", description="Given by you, or to you.")] = False,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[DelegationView]:
        """Those that hold and those that ended in the last 30 days, as of now, in the order of their ids."""
        start, now = after(cursor, LIST, tenant.tenant_id, str) or "", parts.clock.now()
        found = [
            view_of(each, now)
            for key, each in sorted(tenant.delegations.items())
            if key > start and (not mine or principal.principal_id in (each.given.delegator, each.given.delegate))
        ]
        return page(found[: limit + 1], limit, LIST, tenant.tenant_id, lambda each: each.delegation_id)

    @post("/", opt=requires(Permission.APPROVAL_DELEGATE))
    async def delegate_approving(
        self, data: JSONBody[NewDelegation], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[DelegationView]:
        """Let another person answer approvals on your behalf. It ends at its time, or with the next answer once it is
        revoked; what may not be approved by you, they cannot approve for you."""
        delegation_id, now = DelegationId(act.new_id("dlg")), parts.clock.now()
        command = DelegateApproving(
            by=act.principal,
            now=now,
            delegation_id=delegation_id,
            delegate=PrincipalId(data.delegate),
            until=data.until,
            reason=data.reason,
            workflows=data.workflows,
            roles=data.roles,
        )
        handled = await act.handle(act.tenant_stream, command)
        made = view_of(handled.state.delegations[delegation_id], now)
        return Response(made, status_code=201, headers={"Location": f"/v1/delegations/{delegation_id}"})

    @get("/{delegation_id:str}", opt=requires(Permission.APPROVAL_READ), sync_to_thread=False)
    def get_delegation(
        self, delegation_id: FromPath[str], tenant: NamedDependency[Tenant], parts: NamedDependency[ApiParts]
    ) -> DelegationView:
        """One, as of now."""
        found = tenant.delegations.get(DelegationId(delegation_id))
        if found is None:
            raise DelegationUnknown("no such delegation")
        return view_of(found, parts.clock.now())

    @post("/{delegation_id:str}/revoke", status_code=200, opt=requires(Permission.APPROVAL_DELEGATE))
    async def revoke_delegation(
        self,
        delegation_id: FromPath[str],
        data: JSONBody[Revocation],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> DelegationView:
        """Take it back: yours, or anybody's if you manage people. Signatures that were given stay."""
        known, now = DelegationId(delegation_id), parts.clock.now()
        command = RevokeDelegation(by=act.principal, now=now, delegation_id=known, reason=data.reason)
        handled = await act.handle(act.tenant_stream, command)
        return view_of(handled.state.delegations[known], now)


def view_of(delegation: Delegation, now: Instant) -> DelegationView:
    given, revoked_at = delegation.given, delegation.revoked_at
    ended: Literal["ended", "revoked"] = "ended" if revoked_at is None else "revoked"
    return DelegationView(
        delegation_id=given.delegation_id,
        delegator=given.delegator,
        delegate=given.delegate,
        workflows=given.workflows,
        roles=given.roles,
        status="holds" if delegation.holds(now) else ended,
        delegated_at=given.delegated_at,
        until=given.until,
        revoked_at=revoked_at,
        reason=given.reason,
    )
