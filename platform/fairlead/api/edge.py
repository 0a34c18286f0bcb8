"""The outermost layer: every request has a trace, a log line and a place in the metrics, even where no route is."""

import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from fairlead.api.acting import POSITION
from fairlead.api.bodies import ApiRequest
from fairlead.api.metrics import Metrics
from fairlead.api.problems import TooManyHeaders, answer_to_error
from fairlead.api.tracing import trace_of

MAX_HEADERS = 100
ANSWER_HEADERS = "answer_headers"  # in the scope's state: what the answer carries besides its own
UNMATCHED = "unmatched"
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_log = structlog.get_logger()


class Edge:
    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "there are no web sockets here"
        trace = trace_of(scope["headers"])
        scope["state"]["trace"] = trace
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_ours(scope, list(message["headers"]), trace.parent)}
                self._metrics.answered(_route(scope), scope["method"], status, time.perf_counter() - began)
            await send(message)

        structlog.contextvars.clear_contextvars()
        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id):
            try:
                await (self._app if len(list(scope["headers"])) <= MAX_HEADERS else _refuse)(scope, receive, answer)
            finally:
                self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: HTTPScope, status: int, took_s: float) -> None:
        """The path is not written: what no route takes may hold anything."""
        _log.info(
            "request",
            method=scope["method"],
            route=_route(scope),
            status=status,
            duration_ms=round(took_s * 1000, 2),
        )


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    request: ApiRequest = ApiRequest(scope, receive, send)
    refusal = answer_to_error(request, TooManyHeaders(f"a request may have {MAX_HEADERS} header fields at most"))
    await refusal.to_asgi_response(app=None, request=request)(scope, receive, send)


def _route(scope: HTTPScope) -> str:
    return scope.get("path_template") or UNMATCHED


def _with_ours(scope: HTTPScope, headers: list[tuple[bytes, bytes]], trace_parent: str) -> list[tuple[bytes, bytes]]:
    state, present = scope["state"], {name.lower() for name, _ in headers}
    headers += [header for header in _ALWAYS if header[0] not in present]
    headers += state.get(ANSWER_HEADERS, ())
    headers.append((b"traceresponse", trace_parent.encode()))
    if POSITION in state and b"fairlead-position" not in present:
        headers.append((b"fairlead-position", str(state[POSITION]).encode()))
    return headers
