"""Who a credential or an id stands for, as of this state. Asked per request, and again by workers per call."""

from datetime import datetime

from fairlead_tenants.access import Principal
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.envelope import Actor
from fairlead.domain.tenants.errors import (
    CredentialExpired,
    CredentialRevoked,
    CredentialUnknown,
    PrincipalIsDisabled,
    PrincipalUnknown,
    TenantIsSuspended,
    TenantUnknown,
)
from fairlead.domain.tenants.events import OidcSubject
from fairlead.domain.tenants.states import Absent, Key, Member, Tenant, TenantState


def authenticate(state: TenantState, key_hash: str, now: datetime) -> Principal:
    """The principal that a key stands for, bound to the key's scopes and environment.

    Raises CredentialUnknown, CredentialRevoked or CredentialExpired; PrincipalIsDisabled; TenantIsSuspended.
    The look-up is by keyed hash, so nothing secret is compared here and its timing tells nothing.
    """
    if isinstance(state, Absent) or key_hash not in state.holders_by_hash:
        raise CredentialUnknown("no such key")
    member, key = state.holders_by_hash[key_hash]
    return _with_key(state, member, key, now)


def person_of(state: TenantState, subject: OidcSubject) -> Principal:
    """The person whom an identity provider vouches for. Raises CredentialUnknown and what principal_of raises."""
    if isinstance(state, Tenant):
        for member in state.members.values():
            if member.subject == subject:
                return principal_of(state, member.principal_id)
    raise CredentialUnknown("no such person")


def principal_of(state: TenantState, principal_id: PrincipalId) -> Principal:
    """What a principal holds now. Raises TenantUnknown, TenantIsSuspended, PrincipalUnknown, PrincipalIsDisabled."""
    if isinstance(state, Absent):
        raise TenantUnknown("no such tenant")
    if principal_id not in state.members:
        raise PrincipalUnknown("no such principal")
    member = state.members[principal_id]
    if state.suspended:
        raise TenantIsSuspended
    if member.disabled:
        raise PrincipalIsDisabled
    return Principal(
        tenant_id=state.tenant_id, principal_id=member.principal_id, kind=member.kind, grants=member.grants
    )


def refreshed(state: TenantState, principal: Principal, now: datetime) -> Principal:
    """The same principal by the same credential, with what it holds now. Raises like `authenticate`."""
    if isinstance(state, Tenant) and principal.tenant_id != state.tenant_id:
        raise CredentialUnknown("no such principal")
    if principal.key_id is None:
        return principal_of(state, principal.principal_id)
    if isinstance(state, Absent) or principal.key_id not in state.holders_by_key:
        raise CredentialUnknown("no such key")
    member, key = state.holders_by_key[principal.key_id]
    assert member.principal_id == principal.principal_id, "a key never changes hands"
    return _with_key(state, member, key, now)


def actor_of(principal: Principal) -> Actor:
    return Actor(kind=principal.kind, id=principal.principal_id)


def _with_key(state: Tenant, member: Member, key: Key, now: datetime) -> Principal:
    if key.revoked_at is not None:
        raise CredentialRevoked("the key was revoked")
    if key.expires_at <= now:
        raise CredentialExpired("the key has expired")
    holder = principal_of(state, member.principal_id)
    return Principal(
        tenant_id=holder.tenant_id,
        principal_id=holder.principal_id,
        kind=holder.kind,
        grants=holder.grants,
        scopes=key.scopes,
        environment_id=key.environment_id,
        environment_kind=state.environments[key.environment_id].kind,
        key_id=key.key_id,
    )
