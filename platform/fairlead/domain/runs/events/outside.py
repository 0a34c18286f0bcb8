"""Facts of runs whose calls an outside agent asks for."""

from typing import Any, Literal

from fairlead_tenants.ids import PrincipalId

from fairlead.domain.envelope import Event
from fairlead.domain.ids import CallId

Door = Literal["rest", "mcp"]


class ToolCallAsked(Event, frozen=True, kw_only=True, tag="tool_call.asked.v1"):
    """An outside agent wants this call; what becomes of it is decided as for any other call, under the same id.

    `ask_id` is the asker's: the same one again asks for nothing more. `arguments` are redacted.
    """

    call_id: CallId
    step: str
    ask_id: str
    tool: str
    arguments: Any
    asked_by: PrincipalId
    door: Door


class ToolCallAskRefused(Event, frozen=True, kw_only=True, tag="tool_call.ask_refused.v1"):
    """The agent asked for a tool that its workflow does not have. It is not called, and the agent is told so."""

    call_id: CallId
    step: str
    tool: str
    rule_id: str
    reason: str
