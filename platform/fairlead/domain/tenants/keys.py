"""Answers about API keys: issued within bounds, rotated with overlap, revoked at once."""

from datetime import datetime, timedelta
from typing import assert_never

from fairlead_tenants.access import Permission, Principal, held, lacking_to_hand_on
from fairlead_tenants.ids import ApiKeyId

from fairlead.domain.errors import Denied, Problem
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import IssueKey, ManagedCommand, RevokeKey, RotateKey
from fairlead.domain.tenants.errors import (
    AgentHoldsNoKey,
    AlreadyExists,
    EnvironmentUnknown,
    KeyNotCurrent,
    KeyOfAnotherPerson,
    KeyUnknown,
    LimitReached,
    PrincipalUnknown,
    ScopesTooWide,
)
from fairlead.domain.tenants.events import KeyIssued, KeyRevoked, KeyRotated, TenantEvent
from fairlead.domain.tenants.states import Key, Member, Tenant


def decide(command: IssueKey | RotateKey | RevokeKey, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    match command:
        case IssueKey():
            return _issue(command, acting, tenant)
        case RotateKey():
            return _rotate(command, acting, tenant)
        case RevokeKey():
            return _revoke(command, tenant)
        case _:
            assert_never(command)


def is_own(command: ManagedCommand, acting: Principal, tenant: Tenant) -> bool:
    """Whether somebody signed in looks after their own keys, which needs no permission.

    One who came with a key does need it: a leaked key must not be able to make itself a successor.
    """
    if acting.key_id is not None:
        return False
    match command:
        case IssueKey(principal_id=principal_id):
            return principal_id == acting.principal_id
        case RotateKey(key_id=key_id) | RevokeKey(key_id=key_id):
            return _holder(tenant, key_id)[0].principal_id == acting.principal_id
        case _:
            return False


def _issue(command: IssueKey, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    limits.check(
        limits.text("/name", command.name),
        _life("/expires_at", command.now, command.expires_at, limits.MAX_KEY_LIFE),
    )
    member = tenant.members.get(command.principal_id)
    if member is None:
        raise PrincipalUnknown("no such principal")
    if command.environment_id not in tenant.environments:
        raise EnvironmentUnknown("no such environment")
    _check_may_hold(member, command.scopes)
    _check_may_give(acting, member, command.scopes)
    _check_new(tenant, command.key_id, command.hash)
    if sum(_is_current(key, command.now) for key in member.keys.values()) >= limits.MAX_LIVE_KEYS:
        raise LimitReached("live keys per principal", limits.MAX_LIVE_KEYS)
    return [
        KeyIssued(
            key_id=command.key_id,
            principal_id=command.principal_id,
            name=command.name,
            hash=command.hash,
            last_four=command.last_four,
            scopes=None if command.scopes is None else tuple(sorted(command.scopes)),
            environment_id=command.environment_id,
            issued_at=command.now,
            expires_at=command.expires_at,
        )
    ]


def _rotate(command: RotateKey, acting: Principal, tenant: Tenant) -> list[TenantEvent]:
    limits.check(
        _life("/expires_at", command.now, command.expires_at, limits.MAX_KEY_LIFE),
        _life("/overlap_until", command.now, command.overlap_until, limits.MAX_OVERLAP, may_be_now=True),
    )
    member, old = _holder(tenant, command.key_id)
    if not _is_current(old, command.now):
        raise KeyNotCurrent("only a key that counts can be rotated")
    _check_may_give(acting, member, old.scopes)
    _check_new(tenant, command.new_key_id, command.hash)
    if sum(_runs_out(key, command.now) for key in member.keys.values()) >= limits.MAX_KEYS_IN_OVERLAP:
        raise LimitReached("rotated keys still in overlap per principal", limits.MAX_KEYS_IN_OVERLAP)
    return [
        KeyRotated(
            key_id=command.key_id,
            principal_id=member.principal_id,
            new_key_id=command.new_key_id,
            hash=command.hash,
            last_four=command.last_four,
            rotated_at=command.now,
            expires_at=command.expires_at,
            overlap_until=command.overlap_until,
        )
    ]


def _revoke(command: RevokeKey, tenant: Tenant) -> list[TenantEvent]:
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    member, key = _holder(tenant, command.key_id)
    if key.revoked_at is not None:
        return []
    return [
        KeyRevoked(key_id=key.key_id, principal_id=member.principal_id, reason=command.reason, revoked_at=command.now)
    ]


def _holder(tenant: Tenant, key_id: ApiKeyId) -> tuple[Member, Key]:
    if key_id not in tenant.holders_by_key:
        raise KeyUnknown("no such key")
    return tenant.holders_by_key[key_id]


def _is_current(key: Key, now: datetime) -> bool:
    return key.replaced_by is None and key.ends_at > now


def _runs_out(key: Key, now: datetime) -> bool:
    return key.replaced_by is not None and key.ends_at > now


def _life(path: str, now: datetime, end: datetime, longest: timedelta, may_be_now: bool = False) -> Problem | None:
    if now < end <= now + longest or (may_be_now and end == now):
        return None
    return Problem(path=path, message=f"must be in the future and at most {longest.days} days ahead")


def _check_may_hold(member: Member, scopes: frozenset[Permission] | None) -> None:
    if member.kind == "agent":
        raise AgentHoldsNoKey("agents hold no keys")
    if scopes is None:
        return
    limits.check(None if scopes else Problem(path="/scopes", message="must name at least one permission"))
    beyond = scopes - held(member.kind, member.grants)
    if beyond:
        raise ScopesTooWide(f"the principal does not hold {', '.join(sorted(beyond))}")


def _check_may_give(acting: Principal, member: Member, scopes: frozenset[Permission] | None) -> None:
    """Whoever makes a key sees its text: it must not do more than they may, nor sign as somebody else."""
    if member.kind == "person" and member.principal_id != acting.principal_id:
        raise KeyOfAnotherPerson("people make their own keys")
    lacking = lacking_to_hand_on(acting, member.kind, member.grants, scopes)
    if lacking is not None:
        raise Denied(lacking, f"permission {lacking} is required of whoever makes a key that carries it")


def _check_new(tenant: Tenant, key_id: ApiKeyId, key_hash: str) -> None:
    if key_id in tenant.holders_by_key or key_hash in tenant.holders_by_hash:
        raise AlreadyExists("the key exists")
