"""From a request over a vendor's wire to a call of a run: which run it counts for, and which route it goes by."""

from collections.abc import Mapping
from typing import Any

from fairlead_sdk.models import Wire
from msgspec import Struct

from fairlead.api.acting import Act
from fairlead.api.mcp.messages import RpcError
from fairlead.api.mcp.sessions import WORKFLOW, Driven, Sessions, workflow_of
from fairlead.api.parts import ApiParts
from fairlead.domain.errors import NotFound
from fairlead.domain.ids import ModelCallId
from fairlead.domain.models.request import ModelRequest, ToolOffer
from fairlead.domain.models.wires import FORMS
from fairlead.domain.runs.events import AskedThrough
from fairlead.domain.runs.outside import PLANNER
from fairlead.domain.tenants.identity import actor_of
from fairlead.domain.workflow.document import Workflow
from fairlead.handling.model_door import DoorCall

DOORS: Mapping[Wire, AskedThrough] = {
    Wire.OPENAI_CHAT: "openai_chat",
    Wire.OPENAI_RESPONSES: "openai_responses",
    Wire.ANTHROPIC_MESSAGES: "anthropic_messages",
}
_CLIENT = "user-agent"


class ModelNotOffered(NotFound):
    """The workflow names no such route for its agent: what a client calls a model is a route here."""

    code = "model_not_found"


class Asking(Struct, frozen=True, kw_only=True):
    """A call, and whether its answer is given piece by piece."""

    call: DoorCall
    streams: bool


async def asking(
    wire: Wire, body: Any, headers: Mapping[str, str], act: Act, parts: ApiParts, sessions: Sessions
) -> Asking:
    """Raises Unreadable, RpcError, NotFound, Denied, what starting a run raises, ModelNotOffered, Unavailable."""
    request = FORMS[wire].read_request(body)
    driven = await sessions.current(act, parts, headers, headers.get(_CLIENT, ""), "models")
    if request.model not in driven.rules.workflow.routes:
        raise ModelNotOffered("the workflow offers no model of this name: GET /openai/v1/models lists them")
    return Asking(call=_call(wire, request, driven, act), streams=request.stream)


def _call(wire: Wire, request: ModelRequest, driven: Driven, act: Act) -> DoorCall:
    return DoorCall(
        run=driven.stream,
        call_id=ModelCallId(act.new_id("mcl")),
        door=DOORS[wire],
        actor=actor_of(act.principal),
        request=request,
        route=request.model,
        tools=tuple(tool.name for tool in request.tools if isinstance(tool, ToolOffer)),
    )


async def offered(act: Act, parts: ApiParts, headers: Mapping[str, str]) -> tuple[str, ...]:
    """The routes of the workflow that a request names. Raises RpcError, NotFound, Denied, Unavailable."""
    known = await parts.starter.offered(act.principal, workflow_of(act, headers))
    workflow: Workflow = known.rules.workflow
    if workflow.planner != PLANNER:
        message = f"the workflow that {WORKFLOW} names is not one with `planner: outside`"
        raise RpcError(0, message, http_status=400)
    return workflow.routes
