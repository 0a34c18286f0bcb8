"""Tools that are made when the program runs, from what a service says of itself: OpenAPI, MCP.

A connector that imports reads such a description into a tool set. The platform keeps the set as data, in the tenant
that imported it, and later asks the connector to make its tools again from that data and nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from fairlead_sdk.auth import NO_AUTH, Auth, Scope
from fairlead_sdk.contract import ConfigField, Effect, Idempotency, JsonSchema, Manifest, Tool

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_NODES = 4_000  # of one side of a tool, with all definitions that it uses

Schema = dict[str, Any]


class ImportedTool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`input` and `output` may refer to `#/$defs/…` of their set. `recipe` is for the connector alone."""

    name: str
    title: str
    description: str
    input: Schema
    output: Schema
    effect: Effect
    idempotency: Idempotency
    recipe: dict[str, Any]
    timeout_s: float = 30.0
    scopes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class ToolSet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was made of one description. `definitions` are the schemas that its tools share, by name.

    The rest is as in a manifest; `name` stands before the dot in every tool's name.
    """

    name: str
    title: str
    tools: tuple[ImportedTool, ...]
    definitions: dict[str, Schema] = {}
    auth: Auth = NO_AUTH
    scopes: tuple[Scope, ...] = ()
    egress: tuple[str, ...] = ()
    config: tuple[ConfigField, ...] = ()


class ImportProblem(Struct, frozen=True):
    """Why a description is not imported at all. `path` is a JSON Pointer into it, or into the hints after `hints`."""

    path: str
    code: str
    message: str


class LeftOut(Struct, frozen=True):
    """One operation that no tool was made of, and why."""

    operation: str
    path: str
    code: str
    message: str


class Import(Struct, frozen=True, kw_only=True):
    """With problems there is no set."""

    tool_set: ToolSet | None
    problems: tuple[ImportProblem, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@runtime_checkable
class Importer(Protocol):
    """A connector that imports. Neither method reaches out, and the same bytes always give the same answer."""

    @property
    def manifest(self) -> Manifest: ...

    def read(self, name: str, description: bytes, hints: Mapping[str, Any]) -> Import:
        """`hints` say what a description does not: which operations, effects that differ, how pages go on."""

    def tool(self, tool_set: ToolSet, imported: ImportedTool) -> Tool[Any, Any]: ...


def standalone(schema: Schema, definitions: Mapping[str, Schema], max_nodes: int = MAX_NODES) -> JsonSchema:
    """The schema with the definitions that it uses, nearest first. What does not fit any more may be anything."""
    kept: dict[str, Schema] = {}
    room = max_nodes - nodes(schema)
    waiting = [name for name in dict.fromkeys(references(schema)) if name in definitions]
    seen = set(waiting)
    for name in waiting:  # grows while it is walked
        size = nodes(definitions[name])
        kept[name] = definitions[name] if size <= room else {}
        room -= size
        if kept[name]:
            found = dict.fromkeys(
                each for each in references(definitions[name]) if each not in seen and each in definitions
            )
            waiting += found
            seen.update(found)
    document = {"$schema": DIALECT, **schema}
    return JsonSchema({**document, "$defs": kept} if kept else document)


def references(schema: Any) -> Iterable[str]:
    """Names of the definitions that a schema refers to."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str):
                yield target.removeprefix("#/$defs/")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def nodes(schema: Any) -> int:
    """Objects and lists of a schema: what it costs to keep and to check."""
    count, waiting = 0, [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            count += 1
            waiting += value.values()
        elif isinstance(value, list):
            count += 1
            waiting += value
    return count
