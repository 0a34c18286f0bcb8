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

from fairlead_sdk.account_checks import account_faults, scope_faults
from fairlead_sdk.contract import Effect, Idempotency, Manifest, Tool
from fairlead_sdk.model_checks import model_faults
from fairlead_sdk.schema_checks import schema_faults

MAX_TIMEOUT_S = 600.0
MAX_TOOL_NAME = 128
MAX_TOOLS = 2_000
MAX_CACHE_S = 7 * 24 * 3600
MAX_BATCH = 1_000

_CONNECTOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VERB_NOUN = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_RECORD_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


class Fault(Struct, frozen=True):
    """One reason to refuse a connector. `where` is a tool's name, or the connector's."""

    where: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} ({self.code})"


def faults_of(manifest: Manifest, *, shipped: bool = False) -> list[Fault]:
    """Everything that is wrong, not only the first. `shipped`: it comes with the platform itself."""
    said = [*_manifest_faults(manifest), *account_faults(manifest, shipped=shipped)]
    found = [Fault(manifest.name, code, message) for code, message in said]
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
    if not manifest.tools and manifest.models is None:
        yield "no_tools", "there are no tools"
    if len(manifest.tools) > MAX_TOOLS:
        yield "too_many_tools", f"at most {MAX_TOOLS} tools"
    yield from _limits(manifest)
    yield from model_faults(manifest)
    for name, times in Counter(tool.name for tool in manifest.tools).items():
        if times > 1:
            yield "repeated_tool", f"{name} is there {times} times"


def _tool_faults(manifest: Manifest, tool: Tool[Any, Any]) -> _Said:
    yield from _naming(manifest, tool)
    yield from _promises(tool)
    yield from _effects(tool)
    yield from _functions(tool)
    yield from _economy(tool)
    yield from scope_faults(manifest, tool)
    yield from schema_faults(tool)


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
    if not all(scope.strip() for scope in tool.scopes):
        yield "scopes", "a scope is empty"
    yield from _limits(tool)


def _limits(of: Tool[Any, Any] | Manifest) -> _Said:
    if of.calls_per_minute is not None and of.calls_per_minute < 1:
        yield "rate_limit", "calls_per_minute is at least 1"
    if of.max_concurrent is not None and of.max_concurrent < 1:
        yield "concurrency", "max_concurrent is at least 1"


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
    if effect is not Effect.READ and tool.on_outage == "cached":
        yield "cached_write", "the result of a write is not used again: on_outage is cached for reads only"
    if effect is not Effect.READ and not tool.writes:
        yield "undeclared_write", "writes is empty: name the record kinds that it touches"
    for kind in tool.writes:
        if not _RECORD_KIND.fullmatch(kind):
            yield "record_kind", f"{kind!r} is not a record kind"


def _functions(tool: Tool[Any, Any]) -> _Said:
    """Each part is an async function that can be given what the platform gives it."""
    for part, given in (("run", 2), ("verify", 2), ("preview", 2), ("compensate", 3), ("run_many", 2)):
        function = getattr(tool, part)
        if function is None:
            continue
        if not inspect.iscoroutinefunction(function):
            yield "not_async", f"{part} is not an async function"
            continue
        try:
            inspect.signature(function).bind(*range(given))
        except TypeError:
            yield "parameters", f"{part} does not take the {given} things that it is given"


def _economy(tool: Tool[Any, Any]) -> _Said:
    reads = tool.effect is Effect.READ
    if not 0 <= tool.cache_s <= MAX_CACHE_S:
        yield "cache", f"cache_s is from 0 to {MAX_CACHE_S}"
    if tool.cache_s and not reads:
        yield "cached_write", "only what a read answers can be used again"
    if tool.compensate is not None and reads:
        yield "compensated_read", "a read leaves nothing to undo"
    if not 1 <= tool.max_batch <= MAX_BATCH:
        yield "batch", f"max_batch is from 1 to {MAX_BATCH}"
    if (tool.max_batch > 1) != (tool.run_many is not None):
        yield "batch", "max_batch is more than 1 where there is run_many, and only there"
    if tool.cost_usd_micros < 0:
        yield "cost", "cost_usd_micros is at least 0"
