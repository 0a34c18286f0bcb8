"""The HTTP application, put together from its parts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fairlead_tenants.access import Principal
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.types import Middleware

from fairlead.api import guards
from fairlead.api.acting import COMMAND_ID, Act
from fairlead.api.admission import Admission
from fairlead.api.audited import AUDITED
from fairlead.api.authentication import Authenticator, ByApiKey
from fairlead.api.bodies import MAX_BODY_BYTES, ApiRequest
from fairlead.api.edge import Edge
from fairlead.api.gate import Passage
from fairlead.api.live_events import LiveEvents
from fairlead.api.looking import LOOKS, Looking, Unmasked
from fairlead.api.mcp.sessions import Sessions
from fairlead.api.metrics import Metrics
from fairlead.api.parts import ApiParts
from fairlead.api.problems import HANDLERS
from fairlead.api.routes import ROUTES
from fairlead.api.run_access import RunPlaces
from fairlead.api.streams import followed
from fairlead.domain.tenants.states import Tenant

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_api(parts: ApiParts, more_authenticators: Sequence[Authenticator] = ()) -> Litestar:
    """`more_authenticators` know other credentials than API keys, and are asked after those."""
    by_key = ByApiKey(parts.keys, parts.log, parts.handler, parts.clock)
    passage = Passage(parts, (by_key, *more_authenticators))
    metrics = Metrics()
    live, unmasked = LiveEvents(parts.masked.log), LiveEvents(parts.unmasked.log)
    state = State(
        {
            "parts": parts,
            "metrics": metrics,
            "admission": Admission(parts.backlog, parts.backlog_limit),
            "live": live,
            "live_unmasked": unmasked,
            "places": RunPlaces(parts.handler),
            "mcp_sessions": Sessions(),
        }
    )
    lifespan: list[Lifespan] = [lambda _: passage.open(), lambda _: followed((live, unmasked), parts.closing)]
    api = routed(state, middleware=[passage.gate], lifespan=lifespan)
    api.asgi_handler = Edge(api.asgi_handler, metrics).handle
    return api


def routed(
    state: State | None = None,
    middleware: Sequence[Middleware] = (),
    openapi: OpenAPIConfig | None = None,
    lifespan: Sequence[Lifespan] = (),
) -> Litestar:
    """The routes without what is around them."""
    api = Litestar(
        ROUTES,
        request_class=ApiRequest,
        request_max_body_size=MAX_BODY_BYTES,
        middleware=middleware,
        exception_handlers=HANDLERS,
        dependencies={
            "parts": Provide(_parts, sync_to_thread=False),
            "counted": Provide(_metrics, sync_to_thread=False),
            "admission": Provide(_admission, sync_to_thread=False),
            "principal": Provide(_principal, sync_to_thread=False),
            "tenant": Provide(_tenant, sync_to_thread=False),
            "act": Provide(_act, sync_to_thread=False),
            "looking": Provide(_looking, sync_to_thread=False),
            "live": Provide(_live, sync_to_thread=False),
            "heard": Provide(_heard, sync_to_thread=False),
            "places": Provide(_places, sync_to_thread=False),
            "mcp_sessions": Provide(_mcp_sessions, sync_to_thread=False),
        },
        lifespan=lifespan,
        openapi_config=openapi,
        logging_config=None,
        state=state,
    )
    _check_every_route_says_who_may(api)
    _check_every_reading_is_accounted_for(api)
    _provide_one_by_one(api)
    return api


def _provide_one_by_one(api: Litestar) -> None:
    """What handlers depend on is at hand; providing it side by side would cost each request a group of tasks."""
    for route in api.routes:
        for _, model in getattr(route, "route_handler_map", {}).values():
            model.dependency_batches = [{each} for batch in model.dependency_batches for each in batch]


def _check_every_route_says_who_may(api: Litestar) -> None:
    for path, method, opt in route_options(api):
        says = [word for word in (guards.NEEDS, guards.SIGNED_IN, guards.OPEN) if opt.get(word)]
        assert len(says) == 1, f"{method} {path} says who may ask"


def _check_every_reading_is_accounted_for(api: Litestar) -> None:
    silent = {path for path, method, _ in route_options(api) if method == "GET"} - set(AUDITED)
    assert not silent, f"audited.py does not say whether reading {sorted(silent)} is recorded"


def route_options(api: Litestar) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and options of every route: the matrix of permissions."""
    return sorted(
        (
            (route.path_format, method, dict(handler.opt))
            for route in api.routes
            for handler in getattr(route, "route_handlers", ())
            for method in handler.http_methods
            if method != "OPTIONS" and not route.path_format.startswith("/schema")
        ),
        key=lambda found: found[:2],
    )


def _parts(state: State) -> ApiParts:
    parts: ApiParts = state["parts"]
    return parts


def _metrics(state: State) -> Metrics:
    metrics: Metrics = state["metrics"]
    return metrics


def _admission(state: State) -> Admission:
    admission: Admission = state["admission"]
    return admission


def _looking(
    request: ApiRequest,
    parts: NamedDependency[ApiParts],
    principal: NamedDependency[Principal],
    unmasked: Unmasked = False,
) -> Looking:
    request.scope["state"][LOOKS] = unmasked
    return Looking(parts, principal, unmasked=unmasked)


def _live(state: State) -> LiveEvents:
    live: LiveEvents = state["live"]
    return live


def _heard(state: State, looking: NamedDependency[Looking]) -> LiveEvents:
    """As far as the reader may see them."""
    heard: LiveEvents = state["live_unmasked" if looking.unmasked else "live"]
    return heard


def _places(state: State) -> RunPlaces:
    places: RunPlaces = state["places"]
    return places


def _mcp_sessions(state: State) -> Sessions:
    sessions: Sessions = state["mcp_sessions"]
    return sessions


def _principal(request: ApiRequest) -> Principal:
    principal: Principal = request.scope["user"]
    return principal


def _tenant(request: ApiRequest) -> Tenant:
    tenant: Tenant = request.scope["auth"].tenant
    return tenant


def _act(request: ApiRequest, state: State) -> Act:
    scope = request.scope
    return Act(scope["auth"], state["parts"].handler, scope["state"][COMMAND_ID], scope["state"])
