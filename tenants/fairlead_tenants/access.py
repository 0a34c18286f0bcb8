"""Who may do what: permissions, roles as one table, and the two questions asked of them.

Permission and role values are stored in events and in keys: permanent, like an event tag.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId

PrincipalKind = Literal["person", "service_account", "agent"]
EnvironmentKind = Literal["live", "test"]


class Permission(StrEnum):
    """`<resource>:<verb>`. `read` never changes anything; every change has a verb of its own."""

    RUN_READ = "run:read"
    RUN_START = "run:start"
    RUN_CONTROL = "run:control"  # pause, resume, cancel
    RUN_SIGNAL = "run:signal"
    RUN_ANSWER = "run:answer"
    RUN_FORK = "run:fork"
    RUN_REPAIR = "run:repair"  # retry, skip, supply a result, end
    TOOL_READ = "tool:read"
    TOOL_CALL = "tool:call"
    TOOL_IMPORT = "tool:import"  # sets of tools, for the whole tenant
    WORKFLOW_READ = "workflow:read"
    WORKFLOW_PUBLISH = "workflow:publish"
    POLICY_READ = "policy:read"
    POLICY_PUBLISH = "policy:publish"  # also put in force, try out, roll back
    ROUTE_READ = "route:read"  # which models are asked, and where data may be read
    ROUTE_PUBLISH = "route:publish"
    RESIDENCY_MANAGE = "residency:manage"  # which regions and providers may see the tenant's data
    APPROVAL_READ = "approval:read"
    APPROVAL_DECIDE = "approval:decide"
    APPROVAL_UNMASK = "approval:unmask"  # see the sensitive values in them
    APPROVAL_DELEGATE = "approval:delegate"  # one's own approving, to another person for a while
    CONNECTION_READ = "connection:read"  # accounts at counterparts, never their secrets
    CONNECTION_MANAGE = "connection:manage"  # make, give, revoke, delete; registrations at providers
    CONNECTOR_MANAGE = "connector:manage"  # which connectors the tenant uses, and in which version
    BREAKER_READ = "breaker:read"  # which counterparts do not answer
    BREAKER_RESET = "breaker:reset"
    SWITCH_READ = "switch:read"
    SWITCH_SET = "switch:set"  # stop what may happen, and let it go on
    EXPORT_READ = "export:read"
    CONTENT_UNMASK = "content:unmask"  # see the sensitive values in runs, calls and exports
    LEDGER_READ = "ledger:read"  # heads, proofs and public keys of the whole tenant
    LEDGER_SIGN = "ledger:sign"  # a head of this moment
    AUDIT_READ = "audit:read"
    CASE_READ = "case:read"
    CASE_REPORT = "case:report"  # runs that went wrong, and bundles brought from elsewhere
    WEBHOOK_READ = "webhook:read"  # never their secrets
    WEBHOOK_MANAGE = "webhook:manage"  # who is told what happens, also of the whole tenant
    RETENTION_READ = "retention:read"  # for how long the tenant keeps what, and legal holds
    RETENTION_MANAGE = "retention:manage"
    HOLD_MANAGE = "hold:manage"  # keep what a court may ask for, and let it go
    BUDGET_READ = "budget:read"  # what may be spent in the whole tenant, and what was
    BUDGET_MANAGE = "budget:manage"  # set caps and give more
    PRICE_READ = "price:read"  # what models cost by the tenant's own contracts, and what outcomes bring in
    PRICE_MANAGE = "price:manage"
    COST_READ = "cost:read"  # what runs have cost
    ERASURE_READ = "erasure:read"
    ERASURE_WRITE = "erasure:write"  # destroy what is known of a person, or all content
    WORKSPACE_READ = "workspace:read"  # workspaces and environments
    WORKSPACE_MANAGE = "workspace:manage"
    PRINCIPAL_READ = "principal:read"
    PRINCIPAL_MANAGE = "principal:manage"
    KEY_READ = "key:read"
    KEY_MANAGE = "key:manage"
    TENANT_READ = "tenant:read"
    TENANT_MANAGE = "tenant:manage"


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    AGENT = "agent"


ALL = frozenset(Permission)
_P = Permission
_SEES_RUNS = frozenset(
    {_P.RUN_READ, _P.WORKFLOW_READ, _P.TOOL_READ, _P.APPROVAL_READ, _P.POLICY_READ, _P.ROUTE_READ, _P.WORKSPACE_READ}
    | {_P.SWITCH_READ}
)
_DRIVES_RUNS = frozenset({_P.RUN_START, _P.RUN_CONTROL, _P.RUN_SIGNAL, _P.RUN_ANSWER, _P.RUN_FORK})
_KEEPS_CASES = frozenset({_P.CASE_READ, _P.CASE_REPORT})

PERMISSIONS_OF: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: ALL,
    Role.ADMIN: ALL - {_P.TENANT_MANAGE, _P.ERASURE_WRITE},
    Role.DEVELOPER: _SEES_RUNS
    | _DRIVES_RUNS
    | _KEEPS_CASES
    | {_P.WORKFLOW_PUBLISH, _P.TOOL_CALL, _P.TOOL_IMPORT, _P.CONNECTION_READ, _P.BREAKER_READ, _P.COST_READ},
    Role.OPERATOR: _SEES_RUNS
    | _DRIVES_RUNS
    | _KEEPS_CASES
    | {_P.RUN_REPAIR, _P.EXPORT_READ, _P.CONNECTION_READ, _P.CONNECTION_MANAGE, _P.BREAKER_READ, _P.BREAKER_RESET}
    | {_P.SWITCH_SET, _P.LEDGER_READ, _P.LEDGER_SIGN, _P.BUDGET_READ, _P.COST_READ},
    Role.REVIEWER: _SEES_RUNS | _KEEPS_CASES | {_P.APPROVAL_DECIDE, _P.APPROVAL_DELEGATE, _P.RUN_ANSWER},
    Role.AUDITOR: frozenset(p for p in Permission if p.endswith(":read")),
    Role.AGENT: frozenset({_P.TOOL_CALL}),
}

# What a kind of principal can hold at most, whatever it was granted. A signature is a person's, and so is a look at
# what is sensitive.
CEILING_OF: Mapping[PrincipalKind, frozenset[Permission]] = {
    "person": ALL,
    "service_account": ALL
    - {_P.APPROVAL_DECIDE, _P.APPROVAL_DELEGATE, _P.APPROVAL_UNMASK, _P.CONTENT_UNMASK}
    - {_P.TENANT_MANAGE, _P.ERASURE_WRITE},
    "agent": PERMISSIONS_OF[Role.AGENT],
}

ROLES_FOR: Mapping[PrincipalKind, frozenset[Role]] = {
    "person": frozenset(Role) - {Role.AGENT},
    "service_account": frozenset({Role.ADMIN, Role.DEVELOPER, Role.OPERATOR, Role.AUDITOR}),
    "agent": frozenset({Role.AGENT}),
}

# These reach every environment, so a key of a test environment never carries them.
LIVE_ONLY = frozenset(
    {
        _P.TOOL_IMPORT,
        _P.WORKSPACE_MANAGE,
        _P.PRINCIPAL_MANAGE,
        _P.KEY_MANAGE,
        _P.TENANT_MANAGE,
        _P.CONNECTOR_MANAGE,
        _P.POLICY_PUBLISH,
        _P.ROUTE_PUBLISH,
        _P.RESIDENCY_MANAGE,
        _P.WEBHOOK_MANAGE,
        _P.RETENTION_MANAGE,
        _P.HOLD_MANAGE,
        _P.BUDGET_MANAGE,
        _P.PRICE_MANAGE,
        _P.ERASURE_WRITE,
        _P.APPROVAL_DELEGATE,
    }
)


class Grant(Struct, frozen=True, forbid_unknown_fields=True):
    """A role, everywhere in the tenant or only in one workspace, one environment, or both."""

    role: Role
    workspace_id: WorkspaceId | None = None
    environment_id: EnvironmentId | None = None


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks. `scopes` narrow what the grants give (None: they do not) and never widen it.

    The environment is the key's; a principal that came without a key stands in none and may name any.
    """

    tenant_id: TenantId
    principal_id: PrincipalId
    kind: PrincipalKind
    grants: tuple[Grant, ...]
    scopes: frozenset[Permission] | None = None
    environment_id: EnvironmentId | None = None
    environment_kind: EnvironmentKind | None = None
    key_id: ApiKeyId | None = None


def allowed(
    grants: Iterable[Grant],
    permission: Permission,
    workspace_id: WorkspaceId | None,
    environment_id: EnvironmentId | None,
) -> bool:
    """Whether any grant gives the permission there. None asks about all workspaces, or about all environments."""
    return any(
        permission in PERMISSIONS_OF[grant.role]
        and (grant.workspace_id is None or grant.workspace_id == workspace_id)
        and (grant.environment_id is None or grant.environment_id == environment_id)
        for grant in grants
    )


def may(
    principal: Principal,
    permission: Permission,
    workspace_id: WorkspaceId | None = None,
    environment_id: EnvironmentId | None = None,
) -> bool:
    """The one permission check. Name the workspace and environment of the object; None only if it is in none."""
    return (
        carries(principal, permission)
        and (environment_id is None or principal.environment_id in (None, environment_id))
        and allowed(principal.grants, permission, workspace_id, environment_id)
    )


def roles_held(principal: Principal, workspace_id: WorkspaceId, environment_id: EnvironmentId) -> tuple[str, ...]:
    """The roles that the principal holds there, sorted."""
    return tuple(
        sorted(
            {
                str(grant.role)
                for grant in principal.grants
                if grant.workspace_id in (None, workspace_id) and grant.environment_id in (None, environment_id)
            }
        )
    )


def carries(principal: Principal, permission: Permission) -> bool:
    """Whether kind, key scopes and environment let it use this permission if a grant gives it."""
    return (
        permission in CEILING_OF[principal.kind]
        and (principal.scopes is None or permission in principal.scopes)
        and not (principal.environment_kind == "test" and permission in LIVE_ONLY)
    )


def workspaces_where(
    principal: Principal, permission: Permission, environment_id: EnvironmentId | None = None
) -> frozenset[WorkspaceId] | None:
    """Where a list may look: None is the whole tenant, an empty set nowhere."""
    if may(principal, permission, None, environment_id):
        return None
    named = {grant.workspace_id for grant in principal.grants if grant.workspace_id is not None}
    return frozenset(name for name in named if may(principal, permission, name, environment_id))


def held(kind: PrincipalKind, grants: Iterable[Grant]) -> frozenset[Permission]:
    """Everything that the grants give this kind of principal somewhere."""
    return CEILING_OF[kind] & {permission for grant in grants for permission in PERMISSIONS_OF[grant.role]}


def lacking_to_hand_on(
    giver: Principal, kind: PrincipalKind, grants: Iterable[Grant], scopes: frozenset[Permission] | None = None
) -> Permission | None:
    """The first permission in what would be handed on that the giver does not hold in the same place.

    None: nothing is lacking, nobody gains more than the giver has.
    """
    for grant in grants:
        for permission in sorted(held(kind, (grant,)) if scopes is None else held(kind, (grant,)) & scopes):
            here = allowed(giver.grants, permission, grant.workspace_id, grant.environment_id)
            if not (here and carries(giver, permission)):
                return permission
    return None
