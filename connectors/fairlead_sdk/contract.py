"""The contract between the platform and a connector.

A connector is an object with a manifest. Its tools are typed functions over msgspec Structs, from which JSON Schema
(2020-12), validation and documentation follow. A tool is given one call and nothing ambient.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, get_type_hints, runtime_checkable

import msgspec
from msgspec import Struct

In = TypeVar("In", bound=Struct)
Out = TypeVar("Out", bound=Struct)


class Effect(StrEnum):
    """What a call does to the world. Writes that no rule speaks of need approval."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


class Idempotency(StrEnum):
    """What makes a repeated call harmless."""

    KEY = "key"  # the counterpart honours `Call.idempotency_key`
    NATURAL = "natural"  # repeating it has no further effect (reads; "set x to 5")
    NONE = "none"  # a second call is a second effect: only `verify` or a person can settle a lost answer


class Call(Struct, frozen=True, kw_only=True):
    """What a tool knows about the call it serves. `settings` are the connector's own, from the installation."""

    call_id: str
    attempt: int  # 1 the first time
    idempotency_key: str  # the same across attempts
    settings: Mapping[str, str]


class Tool(Struct, Generic[In, Out], frozen=True, kw_only=True):
    """One thing a workflow may do.

    `name` is `<connector>.<verb>_<noun>`, lower case. `writes` names the record kinds a write touches; a workflow must
    declare them. `verify` reads back after a lost answer: the output if the effect happened, None if it did not.
    `preview` gives what a person should see before approving, without effect.
    """

    name: str
    title: str
    description: str
    input: type[In]
    output: type[Out]
    run: Callable[[In, Call], Awaitable[Out]]
    effect: Effect
    idempotency: Idempotency
    timeout_s: float = 5.0
    scopes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    calls_per_minute: int | None = None
    verify: Callable[[In, Call], Awaitable[Out | None]] | None = None
    preview: Callable[[In, Call], Awaitable[dict[str, Any]]] | None = None


class Manifest(Struct, frozen=True, kw_only=True, dict=True):
    """What a connector says of itself. `version` is semantic: an incompatible schema needs a new major version."""

    name: str
    title: str
    version: str
    tools: tuple[Tool[Any, Any], ...]
    settings: tuple[str, ...] = ()  # keys of FAIRLEAD_CONNECTOR_<NAME>_<KEY> that it reads

    @cached_property
    def by_name(self) -> dict[str, Tool[Any, Any]]:
        return {tool.name: tool for tool in self.tools}


@runtime_checkable
class Connector(Protocol):
    """Built once per process, without an event loop: open nothing before the first call."""

    @property
    def manifest(self) -> Manifest: ...


def input_schema(tool: Tool[Any, Any]) -> dict[str, Any]:
    """JSON Schema 2020-12 of the arguments; unknown fields are refused."""
    return _schema(tool.input)


def output_schema(tool: Tool[Any, Any]) -> dict[str, Any]:
    return _schema(tool.output)


def _schema(struct: type[Struct]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": components}


def tool(
    name: str,
    *,
    title: str,
    effect: Effect,
    idempotency: Idempotency,
    **rest: Any,  # any other field of Tool; Tool itself checks the names
) -> Callable[[Callable[[In, Call], Awaitable[Out]]], Tool[In, Out]]:
    """Decorate `async def run(arguments: In, call: Call) -> Out`; types and description come from the function."""

    def build(run: Callable[[In, Call], Awaitable[Out]]) -> Tool[In, Out]:
        hints = get_type_hints(run)
        parameters = [value for key, value in hints.items() if key != "return"]
        return Tool(
            name=name,
            title=title,
            description=(run.__doc__ or "").strip(),
            input=parameters[0],
            output=hints["return"],
            run=run,
            effect=effect,
            idempotency=idempotency,
            **rest,
        )

    return build
