"""Carrying out a tool of a server. What it says was written by somebody else: data, whatever it asks for."""

from typing import TYPE_CHECKING, Any

from fairlead_sdk import Call, OutcomeUnknown, Refused, Tool
from fairlead_sdk.importing import ImportedTool, ToolSet, standalone

from fairlead_mcp.sessions import asked

if TYPE_CHECKING:
    from mcp import Client

MAX_TEXT = 1024 * 1024


def tool_of(tool_set: ToolSet, imported: ImportedTool) -> Tool[Any, Any]:
    name, is_structured = imported.recipe["tool"], imported.recipe["structured"]

    async def run(arguments: dict[str, Any], call: Call) -> dict[str, Any]:
        async def ask(client: "Client") -> dict[str, Any]:
            return _output(await client.call_tool(name, arguments), is_structured)

        return await asked(call, ask)

    return Tool(
        name=imported.name,
        title=imported.title,
        description=imported.description,
        input=standalone(imported.input, tool_set.definitions),
        output=standalone(imported.output, tool_set.definitions),
        run=run,
        effect=imported.effect,
        idempotency=imported.idempotency,
        timeout_s=imported.timeout_s,
        scopes=imported.scopes,
        writes=imported.writes,
    )


def _output(result: Any, is_structured: bool) -> dict[str, Any]:
    """Raises Refused where the tool says that it failed; what it says of why may hold anything, and is not told."""
    if result.is_error:
        raise Refused("the tool says that it failed", "tool_failed")
    texts = [each.text for each in result.content if each.type == "text"]
    text = "\n".join(texts)
    if len(text) > MAX_TEXT:
        raise OutcomeUnknown("the answer is too long", "answer_too_large")
    found: dict[str, Any] = {"text": text, "omitted": len(result.content) - len(texts)}
    return found | {"structured": result.structured_content} if is_structured else found
