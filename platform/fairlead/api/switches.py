"""Switches: what a tenant stops, what the installation stops of it, and letting it go on."""

from typing import Annotated, Literal

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.paging import Page
from fairlead.api.parts import ApiParts
from fairlead.api.runs import Reason
from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied, NotFound
from fairlead.domain.instant import Instant
from fairlead.domain.switches import board as b
from fairlead.domain.tenants.states import Tenant

READS, SETS = requires(Permission.SWITCH_READ), requires(Permission.SWITCH_SET)

MAX_DRILLS = 200
HeldBy = Literal["tenant", "installation"]


class SwitchSetting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be stopped, and for how long; without an end until somebody releases it."""

    modes: Annotated[tuple[b.Mode, ...], Meta(min_length=1, max_length=len(b.MODES))]
    reason: Reason
    expires_at: Instant | None = None


class SwitchView(Struct, frozen=True, kw_only=True):
    """A switch that is on. One that the installation holds stops this tenant's work too, and is not its to release."""

    target: str
    scope: b.Scope
    modes: tuple[b.Mode, ...]
    reason: str
    held_by: HeldBy
    set_by: str | None
    set_at: Instant
    expires_at: Instant | None


class DrillView(Struct, frozen=True, kw_only=True):
    """A switch that was tried under load: how long after it was set the last effect began that it stops, 0 for none.

    `calls_before` went out in the `load_s` before, `calls_after` after it was set; of a drill of the installation
    that is not told, for it is of all tenants.
    """

    target: str
    scope: b.Scope
    modes: tuple[b.Mode, ...]
    held_by: HeldBy
    set_at: Instant
    last_effect_ms: float
    load_s: float
    quiet_s: float
    calls_before: int | None
    calls_after: int | None
    workers: int | None


class SwitchController(Controller):
    path = "/v1/switches"
    tags = ("Switches",)

    @get("/", opt=READS)
    async def list_switches(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
    ) -> Page[SwitchView]:
        """Every switch that is on and stops something of this tenant, the installation's first. As of now."""
        found = await _views(principal, tenant, parts)
        return Page(found, None)

    @get("/drills", opt=READS)
    async def list_drills(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
    ) -> Page[DrillView]:
        """How fast switches stopped what they are for, when that was tried: the newest 200, newest first."""
        own = [
            _drill(each, "tenant")
            for each in await _drilled(parts, tenant.tenant_id)
            if await _may(Permission.SWITCH_READ, principal, tenant, parts, each.target)
        ]
        theirs = [
            _drill(each, "installation")
            for each in await _drilled(parts, INSTALLATION)
            if each.target.scope != "tenant" or each.target.name == tenant.tenant_id
        ]
        newest = sorted((*own, *theirs), key=lambda each: each.set_at, reverse=True)
        return Page(newest[:MAX_DRILLS], None)

    @get("/{target:str}", opt=READS)
    async def get_switch(
        self,
        target: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        held_by: Annotated[HeldBy, QueryParameter(name="held_by")] = "tenant",
    ) -> SwitchView:
        """One switch, if it is on."""
        for view in await _views(principal, tenant, parts):
            if (view.target, view.held_by) == (target, held_by):
                return view
        raise b.NoSuchSwitch("no such switch is on")

    @put("/{target:str}", opt=SETS)
    async def set_switch(
        self,
        target: FromPath[str],
        data: JSONBody[SwitchSetting],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> SwitchView:
        """Stop something: before the next effect, in every process. What was set for the target before is replaced."""
        named = await _to_set(parts, act, target)
        command = b.SetSwitch(
            target=named,
            modes=data.modes,
            reason=data.reason,
            set_by=act.principal.principal_id,
            expires_at=data.expires_at,
            now=parts.clock.now(),
        )
        handled = await parts.switching.change(act.tenant_id, command, act.cause())
        act.seen(handled)
        return _view(handled.state.on[named.id], "tenant")

    @delete("/{target:str}", opt=SETS, status_code=204)
    async def release_switch(
        self,
        target: FromPath[str],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        reason: Annotated[str | None, QueryParameter(name="reason", min_length=1, max_length=b.MAX_REASON)] = None,
    ) -> None:
        """Let it go on. Runs that it had paused go on by themselves, and what it had held back is done."""
        named = await _to_set(parts, act, target)
        release = b.ReleaseSwitch(target=named, reason="released" if reason is None else reason)
        act.seen(await parts.switching.change(act.tenant_id, release, act.cause()))


async def _views(principal: Principal, tenant: Tenant, parts: ApiParts) -> list[SwitchView]:
    ours = b.stream_of(tenant.tenant_id)
    theirs = b.stream_of(INSTALLATION)
    own: b.Board = (await parts.handler.load(ours)).state
    installations: b.Board = (await parts.handler.load(theirs)).state
    now, not_others = parts.clock.now(), b.Target("tenant", tenant.tenant_id)
    shown = [
        _view(switch, "installation")
        for switch in installations.on.values()
        if switch.counts(now) and (switch.target.scope != "tenant" or switch.target == not_others)
    ]
    mine = [each for each in own.on.values() if each.counts(now)]
    reads = Permission.SWITCH_READ
    return shown + [_view(each, "tenant") for each in mine if await _may(reads, principal, tenant, parts, each.target)]


async def _drilled(parts: ApiParts, holder: TenantId) -> list[b.SwitchDrilled]:
    history = await parts.log.read(b.stream_of(holder))
    found = [event for recorded in history for event in recorded.commit.events if isinstance(event, b.SwitchDrilled)]
    return found[-MAX_DRILLS:]


def _drill(drilled: b.SwitchDrilled, held_by: HeldBy) -> DrillView:
    own = held_by == "tenant"
    return DrillView(
        target=drilled.target.id,
        scope=drilled.target.scope,
        modes=drilled.modes,
        held_by=held_by,
        set_at=drilled.set_at,
        last_effect_ms=drilled.last_effect_ms,
        load_s=drilled.load_s,
        quiet_s=drilled.quiet_s,
        calls_before=drilled.calls_before if own else None,
        calls_after=drilled.calls_after if own else None,
        workers=drilled.workers if own else None,
    )


async def _to_set(parts: ApiParts, act: Act, text: str) -> b.Target:
    """Raises NoSuchSwitch for what is not there or is another's, NotYourSwitch, Denied, Invalid."""
    if text == "tenant":
        text = f"tenant:{act.tenant_id}"
    target = b.read_target(text)
    if target.scope not in b.targets(act.tenant_id):
        raise b.NotYourSwitch("switch:installation", "only whoever runs the installation may stop all of it")
    if not await _exists(parts, act.tenant, target):
        raise b.NoSuchSwitch("there is nothing of this name to switch")
    if not await _may(Permission.SWITCH_SET, act.principal, act.tenant, parts, target):
        if not await _may(Permission.SWITCH_READ, act.principal, act.tenant, parts, target):
            raise b.NoSuchSwitch("there is nothing of this name to switch")
        raise Denied(Permission.SWITCH_SET)
    return target


async def _exists(parts: ApiParts, tenant: Tenant, target: b.Target) -> bool:
    match target.scope:
        case "tenant":
            return target.name == tenant.tenant_id
        case "environment":
            return target.name in tenant.environments
        case "workspace":
            return target.name in tenant.workspaces
        case "workflow":
            return await _workspace_of(parts, tenant, target) is not None
        case _:
            return True  # a connector that is not there yet can be stopped before it is


async def _may(permission: Permission, principal: Principal, tenant: Tenant, parts: ApiParts, target: b.Target) -> bool:
    """A key of a test environment may look at everything and stop its own environment only."""
    if target.scope == "environment":
        return may(principal, permission, None, EnvironmentId(target.name))
    if permission is Permission.SWITCH_SET and principal.environment_kind == "test":
        return False
    match target.scope:
        case "workspace":
            return may(principal, permission, WorkspaceId(target.name))
        case "workflow":
            return may(principal, permission, await _workspace_of(parts, tenant, target))
        case _:
            is_looking = permission is Permission.SWITCH_READ  # it stops what this principal sees, wherever that is
            return is_looking or may(principal, permission)


async def _workspace_of(parts: ApiParts, tenant: Tenant, target: b.Target) -> WorkspaceId | None:
    """None for a workflow that is not there."""
    try:
        newest = await parts.rulebook.version(StreamRef(tenant.tenant_id, "workflow", target.name), None)
    except NotFound:
        return None
    return newest.published.workspace_id


def _view(switch: b.On, held_by: HeldBy) -> SwitchView:
    return SwitchView(
        target=switch.target.id,
        scope=switch.target.scope,
        modes=switch.modes,
        reason=switch.reason,
        held_by=held_by,
        set_by=switch.set_by if held_by == "tenant" else None,
        set_at=switch.set_at,
        expires_at=switch.expires_at,
    )
