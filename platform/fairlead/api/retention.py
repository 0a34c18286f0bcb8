"""For how long things are kept, and legal holds, which keep them for longer."""

from datetime import timedelta
from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import PrincipalId, TenantId
from litestar import Controller, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct, json
from msgspec.structs import asdict

from fairlead.api.acting import Act
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import requires
from fairlead.api.paging import Page
from fairlead.api.parts import ApiParts
from fairlead.api.problems import PreconditionFailed
from fairlead.api.publishing import IfMatch
from fairlead.api.run_access import load_run
from fairlead.api.runs import Labels
from fairlead.domain import retention as r
from fairlead.domain.errors import Denied
from fairlead.domain.instant import Instant
from fairlead.handling.legal_holds import LegalHolds

READS = requires(Permission.RETENTION_READ, "run_board")
CHANGES = requires(Permission.RETENTION_MANAGE, "run_board")
HOLDS = requires(Permission.HOLD_MANAGE)

Why = Annotated[str, Meta(min_length=1, max_length=r.MAX_REASON, description="Kept on the log.")]
Years = Annotated[int, Meta(ge=r.LEDGER_YEARS[0], le=r.LEDGER_YEARS[1])]

# Runs that have ended before then and that nothing holds.
_REMOVABLE = """
SELECT count(*) AS runs
  FROM run_board AS b
 WHERE b.ended_at < %(before)s
   AND NOT b.run_id = ANY (%(held_runs)s)
   AND NOT EXISTS (SELECT FROM unnest(%(held_labels)s::jsonb[]) AS held (labels) WHERE b.labels @> held.labels)
"""


class RetentionSetting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Days after the end of a run, after an access, after an object was written (null: never), and years of leaves."""

    runs_days: r.Days
    reason: Why
    access_days: r.Days = 365
    objects_days: r.Days | None = None
    ledger_years: Years = 7


class Kept(Struct, frozen=True, kw_only=True):
    runs_days: r.Days
    access_days: r.Days
    objects_days: r.Days | None
    ledger_years: int


class RetentionView(Struct, frozen=True, kw_only=True):
    """`settings` count from `counts_from` on, `counting` now. `runs_to_remove` is how many runs have ended for longer
    than the settings keep them, and are held by nothing: so many would go if they counted now."""

    version: int
    settings: Kept
    counting: Kept
    counts_from: Instant | None
    changed_by: PrincipalId | None
    changed_at: Instant | None
    reason: str | None
    runs_to_remove: int


class NewHold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run, or every run with all of these labels, or with neither everything of the tenant."""

    reason: Why
    run_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    labels: Labels = {}


class HoldView(Struct, frozen=True, kw_only=True):
    hold_id: str
    reason: str
    run_id: str | None
    labels: dict[str, str]
    placed_by: PrincipalId
    placed_at: Instant


class RetentionController(Controller):
    path = "/v1/retention"
    tags = ("Retention",)

    @get("/", opt=READS)
    async def get_retention(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        runs_days: Annotated[
            r.Days | None, QueryParameter(name="runs_days", description="Count runs as if this were set.")
        ] = None,
    ) -> Response[RetentionView]:
        """What is set, what counts, and how many runs it would remove; with `runs_days`, how many that would."""
        state = await _state(parts, principal)
        return await _answered(parts, principal.tenant_id, state, runs_days)

    @put("/", opt=CHANGES)
    async def set_retention(
        self,
        data: JSONBody[RetentionSetting],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        if_match: IfMatch = None,
    ) -> Response[RetentionView]:
        """Set for how long. What keeps for longer counts at once, what keeps for less after seven days."""
        _check(act.principal, Permission.RETENTION_MANAGE)
        command = r.ChangeRetention(
            settings=r.Settings(
                runs_days=data.runs_days,
                access_days=data.access_days,
                objects_days=data.objects_days,
                ledger_years=data.ledger_years,
            ),
            reason=data.reason,
            by=act.principal.principal_id,
            now=parts.clock.now(),
            expected_version=expected_version(if_match, None),
        )
        try:
            handled = await act.handle(r.stream_of(act.tenant_id), command)
        except r.RetentionMoved as moved:
            raise PreconditionFailed(str(moved)) from moved
        return await _answered(parts, act.tenant_id, handled.state)


class HoldController(Controller):
    path = "/v1/holds"
    tags = ("Retention",)

    @get("/", opt=requires(Permission.RETENTION_READ))
    async def list_holds(
        self, principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Page[HoldView]:
        """Every hold that is open, the oldest first. As of now."""
        state = await _state(parts, principal)
        return Page([_view(hold) for hold in state.holds.values()], None)

    @get("/{hold_id:str}", opt=requires(Permission.RETENTION_READ))
    async def get_hold(
        self, hold_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> HoldView:
        """One hold, if it is open."""
        hold = (await _state(parts, principal)).holds.get(hold_id)
        if hold is None:
            raise r.NoSuchHold("no such hold is open")
        return _view(hold)

    @post("/", opt=HOLDS)
    async def place_hold(
        self, data: JSONBody[NewHold], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[HoldView]:
        """Keep what it names until the hold is released, whatever its age. A removal that has begun is not stopped."""
        _check(act.principal, Permission.HOLD_MANAGE)
        if data.run_id is not None:
            await load_run(parts, act.principal, data.run_id, Permission.RUN_READ)
        hold_id = act.new_id("hld")
        command = r.PlaceHold(
            hold_id=hold_id,
            reason=data.reason,
            by=act.principal.principal_id,
            now=parts.clock.now(),
            run_id=data.run_id,
            labels=data.labels,
        )
        state = (await act.handle(r.stream_of(act.tenant_id), command)).state
        return Response(_view(state.holds[hold_id]), status_code=201, headers={"Location": f"/v1/holds/{hold_id}"})

    @delete("/{hold_id:str}", opt=HOLDS, status_code=204)
    async def release_hold(
        self,
        hold_id: FromPath[str],
        act: NamedDependency[Act],
        reason: Annotated[str, QueryParameter(name="reason", min_length=1, max_length=r.MAX_REASON)],
    ) -> None:
        """Let its age decide again. The hold, who placed it, and both reasons stay on the log."""
        _check(act.principal, Permission.HOLD_MANAGE)
        await act.handle(r.stream_of(act.tenant_id), r.ReleaseHold(hold_id=hold_id, reason=reason))


def _check(principal: Principal, needed: Permission) -> None:
    """It is about the whole tenant: a grant for a part of it is not enough."""
    if not may(principal, needed):
        raise Denied(needed)


async def _state(parts: ApiParts, principal: Principal) -> r.Retention:
    _check(principal, Permission.RETENTION_READ)
    return await LegalHolds(parts.handler).of(principal.tenant_id)


async def _answered(
    parts: ApiParts, tenant_id: TenantId, state: r.Retention, days: int | None = None
) -> Response[RetentionView]:
    now, last = parts.clock.now(), state.last
    runs = await _removable(parts, tenant_id, state, now - timedelta(days=days or state.settings.runs_days))
    view = RetentionView(
        version=state.version,
        settings=_kept(state.settings),
        counting=_kept(state.at(now)),
        counts_from=last.counts_from if last else None,
        changed_by=last.changed_by if last else None,
        changed_at=last.changed_at if last else None,
        reason=last.reason if last else None,
        runs_to_remove=runs,
    )
    return Response(view, headers={"ETag": etag_of(state.version)})


async def _removable(parts: ApiParts, tenant_id: TenantId, state: r.Retention, before: Instant) -> int:
    if state.holds_everything:
        return 0
    async with parts.database.read(tenant_id) as tx:
        found = await tx.row(_REMOVABLE, {"before": before, **_held(state)}, _Runs)
    assert found is not None, "a count is always one row"
    return found.runs


def _held(state: r.Retention) -> dict[str, Any]:
    return {
        "held_runs": [hold.run_id for hold in state.holds.values() if hold.run_id is not None],
        "held_labels": [json.encode(hold.labels).decode() for hold in state.holds.values() if hold.labels],
    }


class _Runs(Struct, frozen=True):
    runs: int


def _kept(settings: r.Settings) -> Kept:
    return Kept(**asdict(settings))


def _view(hold: r.HoldPlaced) -> HoldView:
    return HoldView(
        hold_id=hold.hold_id,
        reason=hold.reason,
        run_id=hold.run_id,
        labels=hold.labels,
        placed_by=hold.placed_by,
        placed_at=hold.placed_at,
    )
