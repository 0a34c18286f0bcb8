"""Whom a route would choose now, and why: with the figures of each candidate, as this process has heard of them."""

from typing import Annotated

from fairlead_sdk.models import Ability
from fairlead_tenants.access import Permission
from fairlead_tenants.ids import EnvironmentId
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import check_place, requires
from fairlead.api.parts import ApiParts
from fairlead.api.workflows import named_workspace
from fairlead.domain.models.failures import FailureClass
from fairlead.domain.routing.asking import Choice, PassedOver, Reason, Tried, Wanted
from fairlead.domain.routing.document import MAX_ATTEMPTS, CandidateId, Cause, TaskClass
from fairlead.domain.routing.routes import NoSuchRoute
from fairlead.domain.routing.standing import Figures, Standing
from fairlead.domain.tenants.errors import EnvironmentUnknown, WorkspaceUnknown
from fairlead.handling.starting import EnvironmentNeeded

Named = Annotated[str, Meta(max_length=200)]
Place = Annotated[str, Meta(max_length=64)]
Bytes = Annotated[int, Meta(ge=0, le=100_000_000)]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]


class Attempted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    candidate: CandidateId
    error_class: FailureClass


class RouteQuestion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that nobody makes. `run`, `session`, `principal` and `workflow` are what a route may stick to; `call_id`
    draws the lot where it sticks to nothing."""

    call_id: Named = "mcl_explained"
    workspace_id: Place | None = None
    environment_id: Place | None = None
    task_class: TaskClass | None = None
    abilities: Annotated[tuple[Ability, ...], Meta(max_length=len(Ability))] = ()
    input_size_bytes: Bytes = 4_000
    max_output_tokens: Tokens | None = None
    budget_left_usd_micros: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    escalations: Annotated[tuple[Cause, ...], Meta(max_length=10)] = ()
    tried: Annotated[tuple[Attempted, ...], Meta(max_length=MAX_ATTEMPTS)] = ()
    run: Named = ""
    session: Named = ""
    principal: Named = ""
    workflow: Named = ""


class CandidateStanding(Struct, frozen=True, kw_only=True):
    """Of the last minutes. `quality_percent` is null while nothing was verified, `has_price` whether it may be asked
    at all as far as its price is concerned."""

    candidate: str
    calls: int
    failure_percent: int
    p50_ms: int | None
    p95_ms: int | None
    checked: int
    quality_percent: int | None
    breaker: str
    room_in_s: float
    has_price: bool


class RouteExplanation(Struct, frozen=True, kw_only=True):
    """`candidate` is null where nobody may be asked: `refused_by` and `code` then say why."""

    name: str
    version: int
    candidate: str | None
    provider: str | None
    model: str | None
    costs_at_most_usd_micros: int | None
    why: tuple[Reason, ...]
    passed_over: tuple[PassedOver, ...]
    refused_by: str | None
    code: str | None
    reason: str | None
    retry_after_s: float | None
    standing: list[CandidateStanding]


@post("/v1/routes/{route:str}/explain", status_code=200, opt=requires(Permission.ROUTE_READ), tags=["Routes"])
async def explain_route(
    route: FromPath[str], data: JSONBody[RouteQuestion], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
) -> RouteExplanation:
    """Say whom the route would choose for such a call now, why, and why not the others. Nothing is asked."""
    wanted = _wanted(act, data)
    tried = [Tried(candidate=each.candidate, error_class=each.error_class) for each in data.tried]
    found = await parts.router.explain(act.tenant_id, route, wanted, tried)
    if found is None:
        raise NoSuchRoute("no such route")
    said, situation = found
    chosen = said if isinstance(said, Choice) else None
    refused = None if isinstance(said, Choice) else said
    return RouteExplanation(
        name=said.route,
        version=said.route_version,
        candidate=chosen.candidate if chosen else None,
        provider=chosen.provider if chosen else None,
        model=chosen.model if chosen else None,
        costs_at_most_usd_micros=chosen.reserve_usd_micros if chosen else None,
        why=chosen.why if chosen else (),
        passed_over=said.passed_over,
        refused_by=refused.by if refused else None,
        code=refused.code if refused else None,
        reason=refused.reason if refused else None,
        retry_after_s=refused.retry_after_s if refused else None,
        standing=[_standing(name, each, each.figures) for name, each in situation.standing.items()],
    )


def _wanted(act: Act, data: RouteQuestion) -> Wanted:
    """Raises WorkspaceUnknown, EnvironmentNeeded, EnvironmentUnknown, NotFound."""
    workspace = named_workspace(act.tenant, data.workspace_id)
    if workspace is None:
        raise WorkspaceUnknown("no such workspace")
    environment = EnvironmentId(data.environment_id) if data.environment_id else act.principal.environment_id
    if environment is None:
        raise EnvironmentNeeded("name one of the tenant's environments")
    if environment not in act.tenant.environments:
        raise EnvironmentUnknown("no such environment")
    check_place(act.principal, Permission.ROUTE_READ, Permission.ROUTE_READ, workspace, environment)
    return Wanted(
        call_id=data.call_id,
        workspace_id=workspace,
        environment_id=environment,
        task_class=data.task_class or "",
        abilities=frozenset(data.abilities),
        input_size_bytes=data.input_size_bytes,
        max_output_tokens=data.max_output_tokens,
        budget_left_usd_micros=data.budget_left_usd_micros,
        escalations=data.escalations,
        run=data.run,
        session=data.session,
        principal=data.principal,
        workflow=data.workflow,
    )


def _standing(name: str, standing: Standing, figures: Figures) -> CandidateStanding:
    return CandidateStanding(
        candidate=name,
        calls=figures.calls,
        failure_percent=figures.failure_percent,
        p50_ms=figures.p50_ms,
        p95_ms=figures.p95_ms,
        checked=figures.checked,
        quality_percent=figures.quality_percent if figures.checked else None,
        breaker=standing.breaker,
        room_in_s=standing.room_in_s,
        has_price=standing.priced is not None,
    )
