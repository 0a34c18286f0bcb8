"""Policies: which there are, what their versions say, and which version decides.

A policy is named in a path by what it is for: `tenant`, `workspace`, or `workflow.` and the workflow's name. The
workspace is the one that `workspace_id` says.
"""

import re
from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import WorkspaceId
from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import policy_views as views
from fairlead.api.acting import Act
from fairlead.api.etags import etag_of
from fairlead.api.guards import check_place, listed_workspaces, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.policy_views import PolicyVersionDetail, PolicyVersionView, PolicyView
from fairlead.api.workflows import InWorkspace, named_workspace
from fairlead.domain.ids import PolicyId
from fairlead.domain.instant import Instant
from fairlead.domain.policies import NoSuchPolicy, Scope, policy_id
from fairlead.domain.policy.difference import Change, difference
from fairlead.domain.tenants.commands import ChoosePolicy, PolicyMove
from fairlead.domain.tenants.limits import MAX_REASON
from fairlead.domain.tenants.policies import NOTHING
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.document import NAME
from fairlead.handling.tenant_choices import FRESH_FOR

LIST = "policies"
VERSIONS = "policy_versions"
MAX_VERSION = 2**31 - 1
READS = requires(Permission.POLICY_READ, "policy_versions")
PUBLISHES = requires(Permission.POLICY_PUBLISH)

Reason = Annotated[str, Meta(min_length=1, max_length=MAX_REASON, description="Why; one printable line.")]
Because = Annotated[str, QueryParameter(min_length=1, max_length=MAX_REASON, description="Why; one printable line.")]


class RollBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    to_version: Annotated[int, Meta(ge=1, le=MAX_VERSION, description="Left out: the one before.")] | None = None


class InForce(Struct, frozen=True, kw_only=True):
    """Counts from `since` on: at once for every call that is made later, and within `everywhere_within_s` for every
    decision of whatever process. `GET /v1/policies/{policy}/effect` says how long it really took."""

    policy_id: PolicyId
    enforced_version: int | None
    tried_version: int | None
    since: Instant
    everywhere_within_s: float = FRESH_FOR.total_seconds()


class Difference(Struct, frozen=True, kw_only=True):
    """RFC 6902 operations that lead from version `base` to version `version`; rules are known by their ids."""

    policy_id: PolicyId
    base: int
    version: int
    changes: list[Change]


class PolicyController(Controller):
    path = "/v1/policies"
    tags = ("Policies",)

    @get("/", opt=READS)
    async def list_policies(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[PolicyView]:
        """The tenant's policy, and those of workspaces and workflows that the principal may see."""
        start = after(cursor, LIST, principal.tenant_id, str) or ""
        workspaces = listed_workspaces(principal, Permission.POLICY_READ)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.listed(tx, workspaces, start, limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda each: each.policy_id)

    @get("/{policy:str}", opt=READS)
    async def get_policy(
        self,
        policy: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[PolicyView]:
        """One policy. Its ETag is that of its newest version, for `If-Match` when publishing."""
        wanted = _readable(principal, tenant, policy, workspace_id)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.policy(tx, wanted)
        if found is None:
            raise NoSuchPolicy("no such policy")
        return Response(found, headers={"ETag": etag_of(found.newest_version)})

    @get("/{policy:str}/versions", opt=READS)
    async def list_policy_versions(
        self,
        policy: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[PolicyVersionView]:
        """Every version ever published, newest first, without the documents."""
        wanted = _readable(principal, tenant, policy, workspace_id)
        below = after(cursor, VERSIONS, wanted, int) or MAX_VERSION
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.versions(tx, wanted, below, limit + 1)
        if not found and cursor is None:
            raise NoSuchPolicy("no such policy")
        return page(found, limit, VERSIONS, wanted, lambda each: each.version)

    @get("/{policy:str}/versions/{version:int}", opt=READS)
    async def get_policy_version(
        self,
        policy: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[PolicyVersionDetail]:
        """One version with its document. It never changes."""
        found = await _version(parts, principal, _readable(principal, tenant, policy, workspace_id), version)
        return Response(found, headers={"ETag": etag_of(version)})

    @get("/{policy:str}/versions/{version:int}/difference", opt=READS)
    async def get_policy_difference(
        self,
        policy: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
        base: Annotated[int | None, QueryParameter(ge=0, le=MAX_VERSION, description="Else the one before.")] = None,
    ) -> Difference:
        """What a version changed. Version 0 is the empty document."""
        wanted, before = _readable(principal, tenant, policy, workspace_id), version - 1 if base is None else base
        new = await _version(parts, principal, wanted, version)
        old = (await _version(parts, principal, wanted, before)).document if before else {}
        return Difference(policy_id=wanted, base=before, version=version, changes=difference(old, new.document))

    @post("/{policy:str}/rollback", status_code=200, opt=PUBLISHES)
    async def roll_back_policy(
        self,
        policy: FromPath[str],
        data: JSONBody[RollBack],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> InForce:
        """Put an earlier version in force again. What is tried is tried no more."""
        scope = publishable(act, policy, workspace_id)
        now_in_force = act.tenant.policies.get(policy_id(act.tenant_id, scope), NOTHING).enforced
        wanted = data.to_version if data.to_version is not None else (now_in_force or 0) - 1
        if wanted < 1:
            raise NoSuchPolicy("there is no version before")
        await parts.tools.policies.version(act.tenant_id, scope, wanted)
        return await choose(act, parts, scope, "roll_back", data.reason, wanted)

    @delete("/{policy:str}", status_code=200, opt=PUBLISHES)
    async def lift_policy(
        self,
        policy: FromPath[str],
        reason: Because,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> InForce:
        """No version of it decides or is tried any more. Its versions stay, and can be put in force again."""
        scope = publishable(act, policy, workspace_id)
        if policy_id(act.tenant_id, scope) not in act.tenant.policies:
            raise NoSuchPolicy("no such policy")
        return await choose(act, parts, scope, "lift", reason)


async def choose(
    act: Act, parts: ApiParts, scope: Scope, move: PolicyMove, reason: str, version: int | None = None
) -> InForce:
    """Raises what the tenant's decision raises."""
    found = policy_id(act.tenant_id, scope)
    now = parts.clock.now()
    command = ChoosePolicy(
        by=act.principal,
        now=now,
        policy_id=found,
        workspace_id=scope.workspace_id,
        workflow=scope.workflow,
        move=move,
        version=version,
        reason=reason,
    )
    tenant = (await act.handle(act.tenant_stream, command, part="chosen")).state
    parts.tools.saw(tenant)
    choice = tenant.policies.get(found, NOTHING)
    return InForce(policy_id=found, enforced_version=choice.enforced, tried_version=choice.tried, since=now)


def publishable(act: Act, policy: str, workspace_id: str | None) -> Scope:
    """Raises NotFound for what the principal cannot even see, Denied for what it can."""
    scope = scope_of(act.tenant, policy, workspace_id)
    check_place(act.principal, Permission.POLICY_PUBLISH, Permission.POLICY_READ, scope.workspace_id)
    return scope


def scope_of(tenant: Tenant, policy: str, workspace_id: str | None) -> Scope:
    """Raises NoSuchPolicy."""
    if policy == "tenant":
        return Scope()
    workspace = named_workspace(tenant, workspace_id)
    kind, _, name = policy.partition(".")
    if workspace is None or (kind, bool(name)) not in {("workspace", False), ("workflow", True)}:
        raise NoSuchPolicy("no such policy")
    if name and re.fullmatch(NAME, name) is None:
        raise NoSuchPolicy("no workflow can have this name")
    return Scope(workspace_id=WorkspaceId(workspace), workflow=name or None)


def readable(principal: Principal, tenant: Tenant, policy: str, workspace_id: str | None) -> Scope:
    """The tenant's policy is for everybody to see who may see any. Raises NoSuchPolicy."""
    scope = scope_of(tenant, policy, workspace_id)
    if scope.workspace_id is not None and not may(principal, Permission.POLICY_READ, scope.workspace_id):
        raise NoSuchPolicy("no such policy")
    return scope


def _readable(principal: Principal, tenant: Tenant, policy: str, workspace_id: str | None) -> PolicyId:
    return policy_id(principal.tenant_id, readable(principal, tenant, policy, workspace_id))


async def _version(parts: ApiParts, principal: Principal, wanted: PolicyId, version: int) -> PolicyVersionDetail:
    async with parts.database.read(principal.tenant_id) as tx:
        found = await views.version(tx, wanted, version) if 1 <= version <= MAX_VERSION else None
    if found is None:
        raise NoSuchPolicy("no such version of the policy")
    return found
