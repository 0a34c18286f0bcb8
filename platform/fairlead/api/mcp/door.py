"""`/mcp`: the routes. What JSON-RPC has a word for is said in it, whatever else in the words of HTTP."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fairlead_tenants.access import Permission
from litestar import Controller, Response, delete, post
from litestar.di import NamedDependency
from litestar.response import Stream
from msgspec import UNSET, UnsetType

from fairlead.api.acting import Act
from fairlead.api.admission import Admission
from fairlead.api.bodies import ApiRequest
from fairlead.api.guards import requires
from fairlead.api.live_events import LiveEvents
from fairlead.api.mcp import eras
from fairlead.api.mcp.messages import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    REFUSED,
    RequestId,
    RpcError,
    error,
    message_of,
)
from fairlead.api.mcp.serving import Answer, Request, end_session, heed, serve
from fairlead.api.mcp.sessions import WORKFLOW, Sessions
from fairlead.api.parts import ApiParts
from fairlead.api.problems import status_of
from fairlead.domain.errors import FairleadError, Invalid

JSON, EVENTS = "application/json", "text/event-stream"
ORIGIN = "origin"
_STATUSES_OF_HTTP = (404, 413, 429, 503)  # that mean something to what is between client and server


class McpController(Controller):
    path = "/mcp"
    include_in_schema = False

    @post(["/", "/{workflow:str}"], status_code=200, opt=requires(Permission.TOOL_CALL))
    async def mcp(
        self,
        request: ApiRequest,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        live: NamedDependency[LiveEvents],
        admission: NamedDependency[Admission],
        mcp_sessions: NamedDependency[Sessions],
    ) -> Response[Any]:
        """One message of a client, whose workflow is in the path, or named by a header as its run may be."""
        headers = dict(request.headers)
        if (workflow := request.path_params.get("workflow")) is not None:
            headers[WORKFLOW] = workflow
        return await _taken(request, act, parts, live, admission, mcp_sessions, headers)

    @delete(["/", "/{workflow:str}"], status_code=200, opt=requires(Permission.TOOL_CALL))
    async def end_mcp_session(
        self,
        request: ApiRequest,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        mcp_sessions: NamedDependency[Sessions],
    ) -> Response[Any]:
        """End a session, and the run that it began."""
        return await _ended(request, act, parts, mcp_sessions)


async def _taken(
    request: ApiRequest,
    act: Act,
    parts: ApiParts,
    live: LiveEvents,
    admission: Admission,
    sessions: Sessions,
    headers: Mapping[str, str],
) -> Response[Any]:
    request_id: RequestId | UnsetType = UNSET
    era: eras.Era = "handshake"
    try:
        accepted = _checked(request, parts)
        message = message_of(await request.body())
        request_id = message.id
        era = eras.era_of(headers, message)
        asked = Request(
            act=act,
            parts=parts,
            live=live,
            admission=admission,
            sessions=sessions,
            headers=headers,
            message=message,
            era=era,
            takes_events=EVENTS in accepted,
        )
        if request_id is UNSET:
            return await _heeded(asked)
        return _response(await _served(request, asked))
    except RpcError as refused:
        return _refusal(request_id, refused, era)
    except FairleadError as refusal:
        return _refusal(request_id, _in_rpc(refusal), era, refusal)


async def _served(request: ApiRequest, asked: Request) -> Answer | AsyncGenerator[bytes]:
    if asked.era == "stateless":
        eras.check_envelope(request.scope["headers"], asked.headers, asked.message)
    return await serve(asked)


async def _heeded(asked: Request) -> Response[Any]:
    await heed(asked)
    return Response(b"", status_code=202, media_type=JSON)


async def _ended(request: ApiRequest, act: Act, parts: ApiParts, sessions: Sessions) -> Response[Any]:
    try:
        _check_origin(request, parts)
        await end_session(act, parts, sessions, request.headers)
    except RpcError as refused:
        return _refusal(UNSET, refused, "handshake")
    return Response(b"", status_code=204)


def _checked(request: ApiRequest, parts: ApiParts) -> str:
    """What the client accepts. Raises RpcError."""
    _check_origin(request, parts)
    if request.content_type[0] != JSON:
        raise RpcError(INVALID_REQUEST, f"the body must be {JSON}", http_status=415)
    accepted = request.headers.get("accept", "*/*")
    if not any(each in accepted for each in (JSON, "*/*", "application/*")):
        raise RpcError(INVALID_REQUEST, f"the client must accept {JSON}", http_status=406)
    return accepted


def _check_origin(request: ApiRequest, parts: ApiParts) -> None:
    """A page that a browser shows is not let in, unless it is one of ours: its name may have come to mean this host."""
    origin = request.headers.get(ORIGIN)
    if origin is not None and origin not in parts.browser_origins:
        raise RpcError(INVALID_REQUEST, "pages of this origin are not let in", http_status=403)


def _response(found: Answer | AsyncGenerator[bytes]) -> Response[Any]:
    if isinstance(found, Answer):
        return Response(found.body, media_type=JSON, headers=found.headers)
    return Stream(found, media_type=EVENTS, headers={"X-Accel-Buffering": "no"})


def _in_rpc(refusal: FairleadError) -> RpcError:
    status = status_of(type(refusal))
    data = {"code": refusal.code, "status": status}
    if faults := [{"path": each.path, "message": each.message} for each in getattr(refusal, "problems", ())]:
        data["errors"] = faults
    code = INVALID_PARAMS if isinstance(refusal, Invalid) else REFUSED
    return RpcError(code, str(refusal), data, status if status in _STATUSES_OF_HTTP else None)


def _refusal(
    request_id: RequestId | UnsetType, refused: RpcError, era: eras.Era, refusal: FairleadError | None = None
) -> Response[Any]:
    headers = {}
    if (retry_after_s := getattr(refusal, "retry_after_s", None)) is not None:
        headers["Retry-After"] = str(retry_after_s)
    status = eras.http_status(refused, era)
    return Response(error(request_id, refused), status_code=status, media_type=JSON, headers=headers)
