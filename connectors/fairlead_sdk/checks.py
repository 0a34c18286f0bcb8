"""The connector check: what a manifest must say before any of its tools can be called.

The platform runs it when it loads a connector, the conformance suite when its author tests it.
"""

import inspect
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from fairlead_sdk.contract import Effect, Idempotency, Manifest, Tool, input_schema, output_schema

MAX_TIMEOUT_S = 600.0
MAX_TOOL_NAME = 128

_CONNECTOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VERB_NOUN = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_RECORD_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_SINGLE_VALUED = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")


class Fault(Struct, frozen=True):
    """One reason to refuse a connector. `where` is a tool's name, or the connector's."""

    where: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} ({self.code})"


def faults_of(manifest: Manifest) -> list[Fault]:
    """Everything that is wrong, not only the first."""
    found = [Fault(manifest.name, code, message) for code, message in _manifest_faults(manifest)]
    for tool in manifest.tools:
        found += [Fault(tool.name, code, message) for code, message in _tool_faults(manifest, tool)]
    return found


_Said = Iterator[tuple[str, str]]


def _manifest_faults(manifest: Manifest) -> _Said:
    if not _CONNECTOR_NAME.fullmatch(manifest.name):
        yield "name", "a connector's name is a lower-case word of at most 32 characters"
    if not manifest.title.strip():
        yield "title", "the title is empty"
    if not _VERSION.fullmatch(manifest.version):
        yield "version", f"{manifest.version!r} is not a semantic version"
    if not manifest.tools:
        yield "no_tools", "there are no tools"
    for name, times in Counter(tool.name for tool in manifest.tools).items():
        if times > 1:
            yield "repeated_tool", f"{name} is there {times} times"


def _tool_faults(manifest: Manifest, tool: Tool[Any, Any]) -> _Said:
    yield from _naming(manifest, tool)
    yield from _promises(tool)
    yield from _effects(tool)
    for side, schema in (("input", input_schema(tool)), ("output", output_schema(tool))):
        for place, what in _loose(schema, ""):
            yield "loose_schema", f"{side}{place} {what}"


def _naming(manifest: Manifest, tool: Tool[Any, Any]) -> _Said:
    prefix = f"{manifest.name}."
    if not tool.name.startswith(prefix) or len(tool.name) > MAX_TOOL_NAME:
        yield "tool_name", f"a tool's name begins with {prefix} and has at most {MAX_TOOL_NAME} characters"
    elif not _VERB_NOUN.fullmatch(tool.name.removeprefix(prefix)):
        yield "tool_name", f"after {prefix} come lower-case words joined by _"
    if not tool.title.strip():
        yield "title", "the title is empty"
    if not tool.description.strip():
        yield "description", "the description is empty"


def _promises(tool: Tool[Any, Any]) -> _Said:
    timeout: Any = tool.timeout_s  # the contract's types are a wish until here
    if not isinstance(timeout, int | float) or not math.isfinite(timeout) or not 0 < timeout <= MAX_TIMEOUT_S:
        yield "timeout", f"timeout_s is more than 0 and at most {MAX_TIMEOUT_S:g}"
    if tool.calls_per_minute is not None and tool.calls_per_minute < 1:
        yield "rate_limit", "calls_per_minute is at least 1"
    if not all(scope.strip() for scope in tool.scopes):
        yield "scopes", "a scope is empty"
    for part in ("run", "verify", "preview"):
        function = getattr(tool, part)
        if function is not None and not inspect.iscoroutinefunction(function):
            yield "not_async", f"{part} is not an async function"


def _effects(tool: Tool[Any, Any]) -> _Said:
    effect: Any = tool.effect
    idempotency: Any = tool.idempotency
    if not isinstance(effect, Effect):
        yield "effect", f"{effect!r} is not an effect: use Effect"
    if not isinstance(idempotency, Idempotency):
        yield "idempotency", f"{idempotency!r} is not an idempotency: use Idempotency"
    if effect is Effect.READ and tool.writes:
        yield "read_writes", "a read names record kinds that it writes"
    if effect is Effect.READ and idempotency is Idempotency.NONE:
        yield "read_not_repeatable", "a read can be repeated without harm, or it is no read"
    if effect is not Effect.READ and not tool.writes:
        yield "undeclared_write", "writes is empty: name the record kinds that it touches"
    for kind in tool.writes:
        if not _RECORD_KIND.fullmatch(kind):
            yield "record_kind", f"{kind!r} is not a record kind"


def _loose(schema: Any, place: str) -> Iterator[tuple[str, str]]:
    """Where a schema lets anything pass: an object open to unknown fields, or a value without a type."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        yield place, "allows unknown fields: say forbid_unknown_fields=True"
    if not any(key in schema for key in _SINGLE_VALUED):
        yield place, "allows any value: give it a type"
    for inner, below in _parts(schema):
        yield from _loose(below, place + inner)


def _parts(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("properties", "$defs", "patternProperties"):
        for name, below in schema.get(key, {}).items():
            yield f"/{key}/{name}", below
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield f"/{key}", schema[key]
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, below in enumerate(schema.get(key, ())):
            yield f"/{key}/{number}", below
