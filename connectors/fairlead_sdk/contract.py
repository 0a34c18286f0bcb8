"""The contract between the platform and a connector.

A connector is an object with a manifest. Its tools are typed functions over msgspec Structs, from which JSON Schema
(2020-12), validation and documentation follow. A tool is given one call and nothing ambient.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, Literal, Protocol, TypeVar, get_type_hints, runtime_checkable

import msgspec
from msgspec import Struct

from fairlead_sdk.auth import NO_AUTH, Auth, Scope
from fairlead_sdk.models import ModelService
from fairlead_sdk.objects import NoObjects, Objects
from fairlead_sdk.outbound import Addresses, Connection, Http, NoAddresses, NoHttp

# On a field of a tool, as `Annotated[str, Meta(extra_json_schema=SENSITIVE)]`: reviewers see that there is a value, and
# not which.
SENSITIVE = {"x-sensitive": True}

OnOutage = Literal["wait", "fail", "cached", "read_only"]
In = TypeVar("In")
Out = TypeVar("Out")


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


class JsonSchema(Struct, frozen=True):
    """Instead of a Struct, for a tool whose shape is known only when the program runs: an imported operation.

    The tool is given, and returns, plain JSON that the platform has checked against `document` (2020-12).
    """

    document: dict[str, Any]


class Call(Struct, frozen=True, kw_only=True):
    """What a tool knows about the call it serves. `settings` are the connector's own, from the installation.

    `connection` is the tenant's account at the counterpart, None for a connector without one. `http` is the only way
    out: it reaches the hosts that the manifest names, and adds the connection's credential by itself. `addresses` is
    for connectors that ship with the platform and speak another protocol, `objects` the platform's own store for them.
    """

    call_id: str
    attempt: int  # 1 the first time
    idempotency_key: str  # the same across attempts
    settings: Mapping[str, str]
    connection: Connection | None = None
    http: Http = NoHttp()
    addresses: Addresses = NoAddresses()
    objects: Objects = NoObjects()


class Tool(Struct, Generic[In, Out], frozen=True, kw_only=True):
    """One thing a workflow may do.

    `name` is `<connector>.<verb>_<noun>`, lower case. `scopes` are names of the manifest's; the connection must have
    been granted all of them. `writes` names the record kinds a write touches; a workflow must declare them.

    `verify` reads back, after a lost answer and after a write: the output if the effect is there, None if it is not.
    `preview` gives what a person should see before approving (`before` and `after` where there is a state), without
    effect. `compensate` undoes what a call did, given its arguments and output; it is asked again under the same key
    until it returns, so a second time must do no further harm.

    `on_outage` says what becomes of a call while the counterpart is known not to answer, where the workflow does not:
    `wait` for it, `fail` at once, take the `cached` result of the last such read, or, `read_only`, wait with a write
    until a read has been answered.

    `cache_s` is how long a read's result may be used again for the same arguments and connection. `run_many` carries
    out up to `max_batch` calls of one step at once and answers in their order; an error instead of an output is that
    call's own.
    """

    name: str
    title: str
    description: str
    input: type[In] | JsonSchema
    output: type[Out] | JsonSchema
    run: Callable[[In, Call], Awaitable[Out]]
    effect: Effect
    idempotency: Idempotency
    timeout_s: float = 5.0
    scopes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    calls_per_minute: int | None = None
    max_concurrent: int | None = None
    cache_s: int = 0
    on_outage: OnOutage = "wait"
    cost_usd_micros: int = 0  # of one call
    max_batch: int = 1
    verify: Callable[[In, Call], Awaitable[Out | None]] | None = None
    preview: Callable[[In, Call], Awaitable[dict[str, Any]]] | None = None
    compensate: Callable[[In, Out, Call], Awaitable[None]] | None = None
    run_many: Callable[[list[In], list[Call]], Awaitable[list[Out | Exception]]] | None = None


class ConfigField(Struct, frozen=True, kw_only=True):
    """Something not secret that each connection says of the account: a base URL, an account's name."""

    name: str
    title: str
    required: bool = True


class Manifest(Struct, frozen=True, kw_only=True, dict=True):
    """What a connector says of itself. `version` is semantic: an incompatible schema needs a new major version.

    `egress` are the hosts it reaches, and no other is: `api.example.com`, `*.example.com`, with `:port` where it is
    not 443, or `{base_url}` for the host of that field of the connection. `writes` are the record kinds of its tools.
    `models`: it serves models to whoever has a connection; such a connector may be without tools.
    """

    name: str
    title: str
    version: str
    tools: tuple[Tool[Any, Any], ...]
    settings: tuple[str, ...] = ()  # keys of FAIRLEAD_CONNECTOR_<NAME>_<KEY> that it reads
    auth: Auth = NO_AUTH
    scopes: tuple[Scope, ...] = ()
    egress: tuple[str, ...] = ()
    config: tuple[ConfigField, ...] = ()
    calls_per_minute: int | None = None  # of all tools together, for one connection
    max_concurrent: int | None = None
    models: ModelService | None = None

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
    return schema_of(tool.input)


def output_schema(tool: Tool[Any, Any]) -> dict[str, Any]:
    return schema_of(tool.output)


def schema_of(shape: type[Any] | JsonSchema) -> dict[str, Any]:
    if isinstance(shape, JsonSchema):
        return shape.document
    struct = shape
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
