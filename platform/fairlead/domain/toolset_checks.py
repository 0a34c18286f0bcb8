"""What the platform asks of a set that a connector made, whoever wrote the connector or the description."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fairlead_sdk.account_checks import account_faults
from fairlead_sdk.checks import MAX_TIMEOUT_S, MAX_TOOL_NAME
from fairlead_sdk.contract import Effect, Manifest
from fairlead_sdk.importing import DIALECT, Import, ImportedTool, ImportProblem, LeftOut, ToolSet, standalone
from msgspec.structs import replace

from fairlead.domain.workflow.schemas import compile_schema

MAX_TOOLS = 2_000

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_RECORD_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,62}")


def checked(imported: Import) -> Import:
    """The same, without tools that cannot be used; with problems instead of a set that cannot."""
    tool_set = imported.tool_set
    if tool_set is None:
        return imported
    left_out = list(_unusable(tool_set))
    unusable = {each.operation for each in left_out}
    tools = tuple(tool for tool in tool_set.tools if tool.name not in unusable)
    problems = tuple(_problems(replace(tool_set, tools=tools)))
    kept = None if problems else replace(tool_set, tools=tools)
    return Import(tool_set=kept, problems=problems, left_out=(*imported.left_out, *left_out))


def _problems(tool_set: ToolSet) -> Iterator[ImportProblem]:
    if not 1 <= len(tool_set.tools) <= MAX_TOOLS:
        yield ImportProblem("", "number_of_tools", f"a set has 1 to {MAX_TOOLS} tools, not {len(tool_set.tools)}")
    manifest = Manifest(
        name=tool_set.name,
        title=tool_set.title,
        version="1.0.0",
        tools=(),
        auth=tool_set.auth,
        scopes=tool_set.scopes,
        egress=tool_set.egress,
        config=tool_set.config,
    )
    for code, message in account_faults(manifest, shipped=False):
        yield ImportProblem("", code, message)
    for name, times in Counter(tool.name for tool in tool_set.tools).items():
        if times > 1:
            yield ImportProblem("", "repeated_tool", f"{name} is there {times} times")


def _unusable(tool_set: ToolSet) -> Iterator[LeftOut]:
    """Schemas are tried all together first: they share most of what they are made of."""
    fits = _compiles(_together(tool_set))
    for tool in tool_set.tools:
        fault = _fault(tool_set, tool)
        if fault is None and not fits and not all(map(_compiles, _sides(tool_set, tool))):
            fault = "schema_unusable", "one of its schemas cannot be used"
        if fault is not None:
            yield LeftOut(tool.name, "", *fault)


def _fault(tool_set: ToolSet, tool: ImportedTool) -> tuple[str, str] | None:
    prefix = f"{tool_set.name}."
    if not tool.name.startswith(prefix) or len(tool.name) > MAX_TOOL_NAME:
        return "tool_name", f"its name does not begin with {prefix}, or is too long"
    if not _NAME.fullmatch(tool.name.removeprefix(prefix)):
        return "tool_name", f"after {prefix} come lower-case words joined by _"
    if not tool.title.strip() or not tool.description.strip():
        return "description", "it has no title, or no description"
    if not 0 < tool.timeout_s <= MAX_TIMEOUT_S:
        return "timeout", f"timeout_s is more than 0 and at most {MAX_TIMEOUT_S:g}"
    if (tool.effect is Effect.READ) == bool(tool.writes) or not all(map(_RECORD_KIND.fullmatch, tool.writes)):
        return "writes", "what writes names record kinds, and what reads names none"
    return None


def _together(tool_set: ToolSet) -> dict[str, Any]:
    sides = {f"{tool.name} {side}": getattr(tool, side) for tool in tool_set.tools for side in ("input", "output")}
    return {"$schema": DIALECT, "properties": sides, "$defs": tool_set.definitions}


def _sides(tool_set: ToolSet, tool: ImportedTool) -> Iterator[dict[str, Any]]:
    yield standalone(tool.input, tool_set.definitions).document
    yield standalone(tool.output, tool_set.definitions).document


def _compiles(schema: dict[str, Any]) -> bool:
    try:
        compile_schema(schema)
    except ValueError:
        return False
    return True
