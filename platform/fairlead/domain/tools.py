"""What is known of the installed tools, and whether a call's arguments and output fit their contract."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fairlead_sdk.contract import Effect, Idempotency, Manifest, OnOutage, Tool, input_schema, output_schema
from jsonschema_rs import Draft202012Validator
from msgspec import Struct

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.errors import Problem
from fairlead.domain.workflow.schemas import compile_schema, problems_of

MAX_PROBLEMS = 20


class ToolFacts(Struct, frozen=True, kw_only=True):
    """A tool as documents, decisions and the catalogue see it. `version` is its connector's.

    `schema_hash` is SHA-256 over the canonical JSON of both schemas: approvals are bound to it. Only a read
    is cached, and only a tool that can take several calls at once has a `max_batch` above 1.
    """

    name: str
    title: str
    description: str
    connector: str
    version: str
    effect: Effect
    idempotency: Idempotency
    scopes: tuple[str, ...]
    writes: tuple[str, ...]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    schema_hash: str
    timeout_s: float
    calls_per_minute: int | None
    has_verify: bool
    has_preview: bool
    on_outage: OnOutage = "wait"
    has_compensate: bool = False
    max_concurrent: int | None = None
    cache_s: int = 0
    max_batch: int = 1
    cost_usd_micros: int = 0


def connector_of(tool: str) -> str:
    """A tool's name begins with that of its connector."""
    return tool.partition(".")[0]


def facts_of(manifest: Manifest, tool: Tool[Any, Any]) -> ToolFacts:
    takes, gives = input_schema(tool), output_schema(tool)
    return ToolFacts(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        connector=manifest.name,
        version=manifest.version,
        effect=tool.effect,
        idempotency=tool.idempotency,
        scopes=tool.scopes,
        writes=tool.writes,
        input_schema=takes,
        output_schema=gives,
        schema_hash=schema_hash(takes, gives),
        timeout_s=tool.timeout_s,
        calls_per_minute=tool.calls_per_minute,
        has_verify=tool.verify is not None,
        has_preview=tool.preview is not None,
        on_outage=tool.on_outage,
        has_compensate=tool.compensate is not None,
        max_concurrent=tool.max_concurrent,
        cache_s=tool.cache_s if tool.effect is Effect.READ else 0,
        max_batch=tool.max_batch if tool.run_many is not None else 1,
        cost_usd_micros=tool.cost_usd_micros,
    )


def schema_hash(takes: dict[str, Any], gives: dict[str, Any]) -> str:
    return canonical_sha256({"input": takes, "output": gives})


class ToolCatalogue(Mapping[str, ToolFacts]):
    """The installed tools by name, in order of name. Raises ValueError for a tool whose schemas cannot be used."""

    def __init__(self, tools: Iterable[ToolFacts]) -> None:
        self._tools = {tool.name: tool for tool in sorted(tools, key=lambda tool: tool.name)}
        self._takes = {tool.name: compile_schema(tool.input_schema) for tool in self._tools.values()}
        self._gives = {tool.name: compile_schema(tool.output_schema) for tool in self._tools.values()}

    def with_more(self, tools: Sequence[ToolFacts]) -> "ToolCatalogue":
        """These as well. What is here already stays as it is."""
        return self.and_those_of(ToolCatalogue(tools)) if tools else self

    def and_those_of(self, more: "ToolCatalogue") -> "ToolCatalogue":
        """Nothing is compiled again. What is here already stays as it is."""
        wider, tools = ToolCatalogue(()), {**more, **self}
        wider._tools = {name: tools[name] for name in sorted(tools)}
        wider._takes = {**more._takes, **self._takes}  # noqa: SLF001  # one of us
        wider._gives = {**more._gives, **self._gives}  # noqa: SLF001  # one of us
        return wider

    def __getitem__(self, name: str) -> ToolFacts:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def argument_problems(self, tool: str, arguments: object) -> list[Problem]:
        """Asked before a call is decided on and again before it is made."""
        return _problems(self._takes[tool], arguments)

    def output_problems(self, tool: str, output: object) -> list[Problem]:
        """Asked before an output is recorded. An output with problems is a failed call, never data."""
        return _problems(self._gives[tool], output)


def _problems(validator: Draft202012Validator, value: object) -> list[Problem]:
    """At most MAX_PROBLEMS faulty places. What JSON has no type for is a problem like another."""
    try:
        if validator.is_valid(value):
            return []
        errors = islice(validator.iter_errors(value), MAX_PROBLEMS)
        return [problem for error in errors for problem in problems_of(error, ())]
    except ValueError:
        return [Problem(path="", code="not_json", message="the value holds something that is not JSON")]
