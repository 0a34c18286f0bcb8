"""`/openai/v1` and `/anthropic/v1`: agents that think through a vendor's client do so through a run, by its budget,
routes and records, once they are given another base address, a key, and a header that names their workflow or run."""

from typing import Any

import msgspec
from fairlead_sdk.models import Wire
from fairlead_tenants.access import Permission
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from fairlead.api.acting import POSITION, Act
from fairlead.api.admission import Admission
from fairlead.api.bodies import JSON, ApiRequest, decoded
from fairlead.api.guards import requires
from fairlead.api.mcp.sessions import Sessions
from fairlead.api.model_doors.answers import Pieces, headers_of, models_listed, whole
from fairlead.api.model_doors.asking import Asking, asking, offered
from fairlead.api.model_doors.leaving import unless_gone
from fairlead.api.model_doors.refusals import refusal_of
from fairlead.api.parts import ApiParts
from fairlead.api.problems import MediaTypeUnsupported
from fairlead.api.wire_errors import Refusal, body_of
from fairlead.api.wire_errors import headers_of as headers_of_refusal

EVENTS = "text/event-stream"
CLIENT_GONE = 499  # a number that proxies log; none is sent


class ModelDoorController(Controller):
    path = "/"
    include_in_schema = False

    @post("/openai/v1/chat/completions", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def chat(
        self,
        request: ApiRequest,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        admission: NamedDependency[Admission],
        mcp_sessions: NamedDependency[Sessions],
    ) -> Response[Any]:
        """As OpenAI's chat completions."""
        return await _taken(Wire.OPENAI_CHAT, request, act, parts, admission, mcp_sessions)

    @post("/openai/v1/responses", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def responses(
        self,
        request: ApiRequest,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        admission: NamedDependency[Admission],
        mcp_sessions: NamedDependency[Sessions],
    ) -> Response[Any]:
        """As OpenAI's responses, whose answers are not kept for later."""
        return await _taken(Wire.OPENAI_RESPONSES, request, act, parts, admission, mcp_sessions)

    @post("/anthropic/v1/messages", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def messages(
        self,
        request: ApiRequest,
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        admission: NamedDependency[Admission],
        mcp_sessions: NamedDependency[Sessions],
    ) -> Response[Any]:
        """As Anthropic's messages."""
        return await _taken(Wire.ANTHROPIC_MESSAGES, request, act, parts, admission, mcp_sessions)

    @get("/openai/v1/models", opt=requires(Permission.TOOL_CALL))
    async def models(
        self, request: ApiRequest, act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[Any]:
        """The routes that a workflow offers its agent, as models."""
        try:
            listed = models_listed(await offered(act, parts, request.headers))
        except Exception as error:
            if (refusal := refusal_of(error, _trace_of(request))) is None:
                raise
            return refused(Wire.OPENAI_CHAT, refusal)
        return Response(msgspec.json.encode(listed), media_type=JSON)


async def _taken(
    wire: Wire, request: ApiRequest, act: Act, parts: ApiParts, admission: Admission, sessions: Sessions
) -> Response[Any]:
    try:
        await admission.check()
        if request.content_type[0] not in ("", JSON):
            raise MediaTypeUnsupported(f"the body must be {JSON}")
        asked = await asking(wire, decoded(await request.body()), request.headers, act, parts, sessions)
        return await _answered(wire, request, parts, asked)
    except Exception as error:
        if (refusal := refusal_of(error, _trace_of(request))) is None:
            raise
        return refused(wire, refusal)


async def _answered(wire: Wire, request: ApiRequest, parts: ApiParts, asked: Asking) -> Response[Any]:
    if asked.streams:
        pieces = Pieces(wire, parts.models, asked.call, lambda error: refusal_of(error, _trace_of(request)))
        if await unless_gone(request, pieces.begin()) is None:
            return _nobody()
        return Stream(pieces.chunks, media_type=EVENTS, headers={**pieces.headers, "X-Accel-Buffering": "no"})
    answered = await unless_gone(request, parts.models.ask(asked.call))
    if answered is None:
        return _nobody()
    told, state = answered.told, request.scope["state"]
    state[POSITION] = max(told.sequence, state.get(POSITION, 0))
    headers = headers_of(asked.call, told.provider, told.model, told)
    return Response(whole(wire, answered), media_type=JSON, headers=headers)


def _nobody() -> Response[Any]:
    """For the log of requests: there is nobody to read it."""
    return Response(b"", status_code=CLIENT_GONE, media_type=JSON)


def refused(wire: Wire, refusal: Refusal) -> Response[Any]:
    return Response(
        body_of(wire, refusal), status_code=refusal.status, media_type=JSON, headers=headers_of_refusal(refusal)
    )


def _trace_of(request: ApiRequest) -> str:
    trace_id: str = request.scope["state"]["trace"].trace_id
    return trace_id
