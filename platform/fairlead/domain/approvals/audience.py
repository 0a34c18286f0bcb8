"""Who may answer an approval and is written to: whoever holds a role that it asks for, and who stands in for them."""

from collections.abc import Iterator

from fairlead_tenants.access import Permission, Principal, may, roles_held
from fairlead_tenants.ids import EnvironmentId, PrincipalId
from msgspec import Struct

from fairlead.domain.approvals.states import Pending
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Member, Tenant

MAX_AUDIENCE = 50


class Addressee(Struct, frozen=True, kw_only=True):
    principal_id: PrincipalId
    email: str
    on_behalf_of: PrincipalId | None = None


def audience(
    pending: Pending, roles: tuple[str, ...], environment_id: EnvironmentId, tenant: Tenant, now: Instant
) -> list[Addressee]:
    """At most MAX_AUDIENCE, those in their own right first. Whoever asked, or has signed, is none of them."""
    if tenant.suspended:
        return []
    busy = pending.spent | set(pending.asked.requested_by)
    own = [
        each for each in _people(tenant) if each not in busy and _takes(pending, roles, environment_id, tenant, each)
    ]
    found = [_addressed(tenant, each) for each in own]
    found += [
        _addressed(tenant, delegate, delegator)
        for delegate, delegator in _substitutes(pending, roles, own, tenant, now)
        if delegate not in busy and _sees(pending, environment_id, tenant, delegate)
    ]
    return found[:MAX_AUDIENCE]


def _people(tenant: Tenant) -> list[PrincipalId]:
    return sorted(each.principal_id for each in tenant.members.values() if _is_reached(each))


def _is_reached(member: Member) -> bool:
    return member.kind == "person" and not member.disabled and member.email is not None


def _takes(
    pending: Pending, roles: tuple[str, ...], environment_id: EnvironmentId, tenant: Tenant, who: PrincipalId
) -> bool:
    person, workspace_id = _known(tenant, who), pending.asked.workspace_id
    return may(person, Permission.APPROVAL_DECIDE, workspace_id, environment_id) and bool(
        set(roles_held(person, workspace_id, environment_id)) & set(roles)
    )


def _sees(pending: Pending, environment_id: EnvironmentId, tenant: Tenant, who: PrincipalId) -> bool:
    if not _is_reached(tenant.members[who]):
        return False
    return may(_known(tenant, who), Permission.APPROVAL_READ, pending.asked.workspace_id, environment_id)


def _substitutes(
    pending: Pending, roles: tuple[str, ...], own: list[PrincipalId], tenant: Tenant, now: Instant
) -> Iterator[tuple[PrincipalId, PrincipalId]]:
    """Each with one whom they stand in for. Who may answer in their own right has a mail already."""
    seen = set(own)
    for each in tenant.delegations.values():
        given = each.given
        fits = not given.workflows or pending.asked.workflow_name in given.workflows
        lent = not given.roles or bool({str(role) for role in given.roles} & set(roles))
        if each.holds(now) and fits and lent and given.delegator in own and given.delegate not in seen:
            seen.add(given.delegate)
            yield given.delegate, given.delegator


def _addressed(tenant: Tenant, who: PrincipalId, on_behalf_of: PrincipalId | None = None) -> Addressee:
    email = tenant.members[who].email
    assert email is not None, "only who has one is reached"
    return Addressee(principal_id=who, email=email, on_behalf_of=on_behalf_of)


def _known(tenant: Tenant, who: PrincipalId) -> Principal:
    return principal_of(tenant, who)
