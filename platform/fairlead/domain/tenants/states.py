"""What is remembered of a tenant, and how each fact changes it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import assert_never

from fairlead_tenants.access import EnvironmentKind, Grant, Permission, PrincipalKind, Role
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.ids import DelegationId, PolicyId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.events import (
    AgentCreated,
    ApprovingDelegated,
    BudgetsKept,
    ConnectorDisabled,
    ConnectorEnabled,
    ConnectorPinned,
    DelegationRevoked,
    EnvironmentCreated,
    KeyIssued,
    KeyRevoked,
    KeyRotated,
    OidcSubject,
    PersonAdded,
    PolicyChosen,
    PrincipalDisabled,
    PrincipalEnabled,
    RoleGranted,
    RoleWithdrawn,
    ServiceAccountCreated,
    TenantCreated,
    TenantEvent,
    TenantReactivated,
    TenantSuspended,
    ToolCapChanged,
    WorkspaceCreated,
)

DEFAULT_TOOL_CAP = 15
FORGET_KEYS_AFTER = timedelta(days=30)  # an ended key is remembered this long, so that the refusal can say why
FORGET_AFTER = timedelta(days=30)  # a delegation that has ended is shown this long

OWNER_OF_ALL = Grant(Role.OWNER)


class Environment(Struct, frozen=True, kw_only=True):
    name: str
    kind: EnvironmentKind


class Key(Struct, frozen=True, kw_only=True):
    """`scopes` None: all that the principal may do. `replaced_by` is set by rotation."""

    key_id: ApiKeyId
    name: str
    hash: str
    last_four: str
    scopes: frozenset[Permission] | None
    environment_id: EnvironmentId
    issued_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None
    replaced_by: ApiKeyId | None = None

    @property
    def ends_at(self) -> datetime:
        return self.expires_at if self.revoked_at is None else min(self.revoked_at, self.expires_at)


class Member(Struct, frozen=True, kw_only=True):
    """A principal as the tenant knows it. `name` is the display name; an agent has a workflow, a person an e-mail."""

    principal_id: PrincipalId
    kind: PrincipalKind
    name: str
    grants: tuple[Grant, ...] = ()
    keys: Mapping[ApiKeyId, Key] = {}
    disabled: bool = False
    email: str | None = None
    subject: OidcSubject | None = None
    workflow_id: WorkflowId | None = None

    @property
    def owns_all(self) -> bool:
        return self.kind == "person" and not self.disabled and OWNER_OF_ALL in self.grants


class Choice(Struct, frozen=True, kw_only=True):
    """What a tenant says of one connector: off, or this version alone, or the newest that is installed of `major`."""

    enabled: bool
    major: int = 0
    version: str | None = None


class PolicyChoice(Struct, frozen=True, kw_only=True):
    """Versions of one policy: the one that decides, and the one whose decisions are only recorded."""

    enforced: int | None
    tried: int | None


PolicyChoices = Mapping[PolicyId, PolicyChoice]


class Delegation(Struct, frozen=True, kw_only=True):
    """`given` is what was said; `revoked_at` ends it before its time."""

    given: ApprovingDelegated
    revoked_at: Instant | None = None

    @property
    def ends_at(self) -> datetime:
        return self.given.until if self.revoked_at is None else min(self.given.until, self.revoked_at)

    def holds(self, now: datetime) -> bool:
        return now < self.ends_at


class Absent(Struct, frozen=True):
    """No such tenant yet."""


class Tenant(Struct, frozen=True, kw_only=True, dict=True):
    tenant_id: TenantId
    name: str
    suspended: bool = False
    tool_cap: int = DEFAULT_TOOL_CAP
    workspaces: Mapping[WorkspaceId, str] = {}
    environments: Mapping[EnvironmentId, Environment] = {}
    members: Mapping[PrincipalId, Member] = {}
    connectors: Mapping[str, Choice] = {}  # by name; of those that nothing was said of, what is usual holds
    disablings: Mapping[str, int] = {}  # how often each connector was, by name
    policies: PolicyChoices = {}
    delegations: Mapping[DelegationId, Delegation] = {}
    keeps_budgets: bool = False  # while it does not, no call looks for any

    @cached_property
    def holders_by_hash(self) -> Mapping[str, tuple[Member, Key]]:
        return {key.hash: (member, key) for member in self.members.values() for key in member.keys.values()}

    @cached_property
    def holders_by_key(self) -> Mapping[ApiKeyId, tuple[Member, Key]]:
        return {key.key_id: (member, key) for member in self.members.values() for key in member.keys.values()}

    @cached_property
    def agent_of(self) -> Mapping[WorkflowId, PrincipalId]:
        """Each workflow's agent principal."""
        return {
            member.workflow_id: member.principal_id
            for member in self.members.values()
            if member.workflow_id is not None
        }


TenantState = Absent | Tenant


def initial() -> TenantState:
    return Absent()


def evolve(state: TenantState, event: TenantEvent) -> TenantState:
    """Apply a fact. No rules here."""
    if isinstance(event, TenantCreated):
        return Tenant(tenant_id=event.tenant_id, name=event.name)
    assert isinstance(state, Tenant), "everything follows the creation"
    match event:
        case TenantSuspended() | TenantReactivated():
            return replace(state, suspended=isinstance(event, TenantSuspended))
        case ToolCapChanged() | BudgetsKept():
            return _configured(state, event)
        case WorkspaceCreated():
            return replace(state, workspaces={**state.workspaces, event.workspace_id: event.name})
        case EnvironmentCreated():
            made = Environment(name=event.name, kind=event.kind)
            return replace(state, environments={**state.environments, event.environment_id: made})
        case ConnectorEnabled() | ConnectorPinned() | ConnectorDisabled():
            return _choosing(state, event)
        case PolicyChosen():
            chosen = PolicyChoice(enforced=event.enforced, tried=event.tried)
            return replace(state, policies={**state.policies, event.policy_id: chosen})
        case ApprovingDelegated() | DelegationRevoked():
            return replace(state, delegations=_delegations(state, event))
        case PersonAdded() | ServiceAccountCreated() | AgentCreated():
            return _with(state, _newcomer(event))
        case _:
            return _with(state, _changed(state.members[event.principal_id], event))


def _configured(state: Tenant, event: ToolCapChanged | BudgetsKept) -> Tenant:
    if isinstance(event, BudgetsKept):
        return replace(state, keeps_budgets=True)
    return replace(state, tool_cap=event.cap)


def choice_of(event: ConnectorEnabled | ConnectorPinned | ConnectorDisabled) -> Choice:
    match event:
        case ConnectorEnabled(major=major):
            return Choice(enabled=True, major=major)
        case ConnectorPinned(version=version):
            return Choice(enabled=True, version=version)
        case ConnectorDisabled():
            return Choice(enabled=False)


def _choosing(state: Tenant, event: ConnectorEnabled | ConnectorPinned | ConnectorDisabled) -> Tenant:
    chosen = replace(state, connectors={**state.connectors, event.connector: choice_of(event)})
    if not isinstance(event, ConnectorDisabled):
        return chosen
    times = state.disablings.get(event.connector, 0) + 1
    return replace(chosen, disablings={**state.disablings, event.connector: times})


def _delegations(state: Tenant, event: ApprovingDelegated | DelegationRevoked) -> Mapping[DelegationId, Delegation]:
    if isinstance(event, DelegationRevoked):
        ended = replace(state.delegations[event.delegation_id], revoked_at=event.revoked_at)
        return {**state.delegations, event.delegation_id: ended}
    known = {key: each for key, each in state.delegations.items() if each.ends_at > event.delegated_at - FORGET_AFTER}
    return {**known, event.delegation_id: Delegation(given=event)}


def _with(state: Tenant, member: Member) -> Tenant:
    return replace(state, members={**state.members, member.principal_id: member})


def _newcomer(event: PersonAdded | ServiceAccountCreated | AgentCreated) -> Member:
    match event:
        case PersonAdded():
            return Member(
                principal_id=event.principal_id,
                kind="person",
                name=event.display_name,
                email=event.email,
                subject=event.subject,
            )
        case ServiceAccountCreated():
            return Member(principal_id=event.principal_id, kind="service_account", name=event.name)
        case AgentCreated():
            return Member(principal_id=event.principal_id, kind="agent", name=event.name, workflow_id=event.workflow_id)


_MemberEvent = RoleGranted | RoleWithdrawn | PrincipalDisabled | PrincipalEnabled | KeyIssued | KeyRotated | KeyRevoked


def _changed(member: Member, event: _MemberEvent) -> Member:
    match event:
        case RoleGranted(grant=grant):
            return replace(member, grants=(*member.grants, grant))
        case RoleWithdrawn(grant=grant):
            return replace(member, grants=tuple(kept for kept in member.grants if kept != grant))
        case PrincipalDisabled():
            return replace(member, disabled=True)
        case PrincipalEnabled():
            return replace(member, disabled=False)
        case KeyIssued():
            return replace(member, keys={**_remembered(member, event.issued_at), event.key_id: _issued(event)})
        case KeyRotated():
            return replace(member, keys={**_remembered(member, event.rotated_at), **_rotated(member, event)})
        case KeyRevoked():
            revoked = replace(member.keys[event.key_id], revoked_at=event.revoked_at)
            return replace(member, keys={**member.keys, event.key_id: revoked})
        case _:
            assert_never(event)


def _remembered(member: Member, now: datetime) -> dict[ApiKeyId, Key]:
    return {key.key_id: key for key in member.keys.values() if key.ends_at > now - FORGET_KEYS_AFTER}


def _issued(event: KeyIssued) -> Key:
    return Key(
        key_id=event.key_id,
        name=event.name,
        hash=event.hash,
        last_four=event.last_four,
        scopes=None if event.scopes is None else frozenset(event.scopes),
        environment_id=event.environment_id,
        issued_at=event.issued_at,
        expires_at=event.expires_at,
    )


def _rotated(member: Member, event: KeyRotated) -> dict[ApiKeyId, Key]:
    old = member.keys[event.key_id]
    new = replace(
        old,
        key_id=event.new_key_id,
        hash=event.hash,
        last_four=event.last_four,
        issued_at=event.rotated_at,
        expires_at=event.expires_at,
    )
    ending = replace(old, expires_at=min(old.expires_at, event.overlap_until), replaced_by=event.new_key_id)
    return {old.key_id: ending, new.key_id: new}
