"""What a model may call: the tools of the workflow and no others, and the three ways to stop."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from fairlead_sdk.contract import Effect
from msgspec import Struct

from fairlead.domain.models.naming import WireNames
from fairlead.domain.models.request import ToolOffer
from fairlead.domain.tools import ToolFacts

FINISH, ASK, GIVE_UP = "finish", "ask", "give_up"
OWN = (FINISH, ASK, GIVE_UP)
MAX_QUESTION = 4_000
MAX_DESCRIPTION = 4_000
Fault = Literal["", "no_such_tool", "not_json", "not_allowed_now", "too_many_at_once", "not_alone", "already_done"]


class Want(Struct, frozen=True, kw_only=True):
    """A call that a model asked for. `tool` is empty for what was never offered."""

    at: int
    tool: str
    wire_name: str
    arguments: dict[str, Any] = {}
    fault: Fault = ""


class Offers:
    """Immutable once built: keep one per workflow version."""

    def __init__(
        self, allowed: tuple[str, ...], tools: Mapping[str, ToolFacts], output: dict[str, Any], *, confidence: bool
    ) -> None:
        self._tools = {name: tools[name] for name in allowed if name in tools}
        self._names = WireNames([*self._tools, *OWN])
        own = (
            ToolOffer(name=FINISH, description=_FINISH, parameters=_finish_parameters(output, confidence=confidence)),
            ToolOffer(name=ASK, description=_ASK, parameters=_text_parameters("question")),
            ToolOffer(name=GIVE_UP, description=_GIVE_UP, parameters=_text_parameters("reason")),
        )
        self._all = (*map(self._offer, self._tools.values()), *own)
        self._reads = (*(self._offer(each) for each in self._tools.values() if each.effect is Effect.READ), *own)

    def shown(self, *, read_only: bool) -> tuple[ToolOffer, ...]:
        return self._reads if read_only else self._all

    def names(self, *, read_only: bool) -> tuple[str, ...]:
        """By their own names."""
        tools = [name for name, tool in self._tools.items() if not read_only or tool.effect is Effect.READ]
        return (*tools, *OWN)

    def want(self, at: int, wire_name: str, written: str, *, read_only: bool) -> Want:
        """What a model wrote, and what is wrong with it."""
        tool = self._names.tool(wire_name)
        if tool is None:
            return Want(at=at, tool="", wire_name=wire_name, fault="no_such_tool")
        try:
            arguments = msgspec.json.decode(written or "{}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Want(at=at, tool=tool, wire_name=wire_name, fault="not_json")
        writes = tool not in OWN and self._tools[tool].effect is not Effect.READ
        fault: Fault = "not_allowed_now" if writes and read_only else ""
        return Want(at=at, tool=tool, wire_name=wire_name, arguments=arguments, fault=fault)

    def _offer(self, tool: ToolFacts) -> ToolOffer:
        """Who wrote a tool is trusted by the tenant that enabled it; what it says of itself is bounded all the same."""
        return ToolOffer(
            name=self._names.on_wire(tool.name),
            description=f"{tool.title}. {tool.description}"[:MAX_DESCRIPTION],
            parameters=tool.input_schema,
        )


_FINISH = "End the task with its result. Call it alone, once everything is done."
_ASK = "Ask a person for what you cannot find out with the tools. Say in one question all that they need to know."
_GIVE_UP = "Say that the task cannot be done, and why."


def _finish_parameters(output: dict[str, Any], *, confidence: bool) -> dict[str, Any]:
    """References within the output's schema begin at its top, so its definitions move there."""
    schema = {key: value for key, value in output.items() if key not in ("$schema", "$defs")}
    properties: dict[str, Any] = {"output": schema}
    if confidence:
        said = "How sure you are that the result is right, from 0 to 1."
        properties["confidence"] = {"type": "number", "minimum": 0, "maximum": 1, "description": said}
    definitions = {"$defs": output["$defs"]} if "$defs" in output else {}
    return {"type": "object", "properties": properties, "required": [*properties], **definitions}


def _text_parameters(name: str) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": MAX_QUESTION}
    return {"type": "object", "properties": {name: text}, "required": [name], "additionalProperties": False}
