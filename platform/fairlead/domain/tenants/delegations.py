"""Whose approving others may do meanwhile: what is taken for a delegation, and what one is worth when it is used.

A delegation is looked at when somebody answers on another's behalf. It lends the delegator's say as that is then, and
nothing else: whoever answers must see the approval by their own rights.
"""

from datetime import datetime

from fairlead_tenants.access import PERMISSIONS_OF, Permission, Principal, Role, carries
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.errors import Denied, Invalid, NotFound, Problem
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import DelegateApproving, RevokeDelegation
from fairlead.domain.tenants.errors import DelegateUnfit, DelegationChain, DelegationUnknown, LimitReached, NotDelegated
from fairlead.domain.tenants.events import ApprovingDelegated, DelegationRevoked, TenantEvent
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Delegation, Tenant

NEEDED = Permission.APPROVAL_DELEGATE


class Lent(Struct, frozen=True, kw_only=True):
    """The delegator as of now, and which of their roles were lent; None: each."""

    delegator: Principal
    roles: frozenset[Role] | None


def decide(command: DelegateApproving | RevokeDelegation, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    """Raises Invalid, Denied, PrincipalUnknown, DelegateUnfit, DelegationChain, DelegationUnknown, LimitReached."""
    if acting.kind != "person" or not _holds(acting, NEEDED):
        raise Denied(NEEDED)
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    if isinstance(command, RevokeDelegation):
        return _revoke(command, acting, tenant)
    _check_narrowing(command)
    _check_time(command)
    _check_delegate(command, acting, tenant)
    given = ApprovingDelegated(
        delegation_id=command.delegation_id,
        delegator=acting.principal_id,
        delegate=command.delegate,
        workflows=command.workflows,
        roles=command.roles,
        delegated_at=command.now,
        until=command.until,
        reason=command.reason,
    )
    return [given]


def lent(tenant: Tenant, delegate: PrincipalId, delegator: PrincipalId, workflow: str, now: datetime) -> Lent:
    """What one person may answer with on behalf of another, for approvals of this workflow. Raises NotDelegated."""
    found = [
        each.given
        for each in _between(tenant, delegate, delegator, now)
        if not each.given.workflows or workflow in each.given.workflows
    ]
    if not found:
        raise NotDelegated(NEEDED, "approvals of this workflow are not delegated to you by that person")
    try:
        person = principal_of(tenant, delegator)
    except (Denied, NotFound) as refused:
        raise NotDelegated(NEEDED, "whoever delegated it may not act any more") from refused
    whole = any(not given.roles for given in found)
    return Lent(delegator=person, roles=None if whole else frozenset(role for given in found for role in given.roles))


def stands_in(tenant: Tenant, person: PrincipalId, now: datetime) -> bool:
    """Whether anybody has delegated their approving to this person."""
    return any(each.given.delegate == person and each.holds(now) for each in tenant.delegations.values())


def _between(tenant: Tenant, delegate: PrincipalId, delegator: PrincipalId, now: datetime) -> list[Delegation]:
    return [
        each
        for each in tenant.delegations.values()
        if (each.given.delegate, each.given.delegator) == (delegate, delegator) and each.holds(now)
    ]


def _holds(acting: Principal, permission: Permission) -> bool:
    """Somewhere: what is delegated reaches only where the delegator may decide."""
    return carries(acting, permission) and any(permission in PERMISSIONS_OF[grant.role] for grant in acting.grants)


def _revoke(command: RevokeDelegation, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    known = tenant.delegations.get(command.delegation_id)
    if known is None:
        raise DelegationUnknown("no such delegation")
    manages = _holds(acting, Permission.PRINCIPAL_MANAGE)
    if known.given.delegator != acting.principal_id and not manages:
        raise Denied(Permission.PRINCIPAL_MANAGE, "only whoever delegated it, or who manages people, takes it back")
    if not known.holds(command.now):
        return []
    revoked = DelegationRevoked(
        delegation_id=command.delegation_id,
        revoked_by=acting.principal_id,
        revoked_at=command.now,
        reason=command.reason,
    )
    return [revoked]


def _check_narrowing(command: DelegateApproving) -> None:
    named = [limits.slug(f"/workflows/{number}", name) for number, name in enumerate(command.workflows)]
    many = limits.within("/workflows", len(command.workflows), 0, limits.MAX_DELEGATED_WORKFLOWS)
    limits.check(many, *named)


def _check_time(command: DelegateApproving) -> None:
    days = limits.MAX_DELEGATION_LIFE.days
    if not command.now < command.until <= command.now + limits.MAX_DELEGATION_LIFE:
        raise Invalid([Problem(path="/until", message=f"must be later than now and within {days} days")])


def _check_delegate(command: DelegateApproving, acting: Principal, tenant: Tenant) -> None:
    other = tenant.members.get(command.delegate)
    if other is None or other.kind != "person" or other.disabled or command.delegate == acting.principal_id:
        raise DelegateUnfit("name another person of the tenant who is not disabled")
    holding = [each for each in tenant.delegations.values() if each.holds(command.now)]
    if len(holding) >= limits.MAX_DELEGATIONS:
        raise LimitReached("delegations at once", limits.MAX_DELEGATIONS)
    if any(each.given.delegator == command.delegate for each in holding):
        raise DelegationChain("that person has delegated their own approving; take or name somebody else")
    if any(each.given.delegate == acting.principal_id for each in holding):
        raise DelegationChain("you stand in for somebody; what was delegated to you cannot be handed on")
