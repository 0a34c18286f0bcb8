"""A manifest as data: what is signed, published, compared between versions, and held against what a connector says when
it runs."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from fairlead_sdk.auth import Auth, Scope
from fairlead_sdk.contract import (
    ConfigField,
    Effect,
    Idempotency,
    Manifest,
    OnOutage,
    Tool,
    input_schema,
    output_schema,
)
from fairlead_sdk.models import ModelService

Part = Literal["verify", "preview", "compensate", "run_many"]
PARTS: tuple[Part, ...] = ("verify", "preview", "compensate", "run_many")


class ToolDescription(Struct, frozen=True, kw_only=True):
    """A tool with schemas in place of types and, in place of its functions, which of them there are."""

    name: str
    title: str
    description: str
    effect: Effect
    idempotency: Idempotency
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    timeout_s: float
    scopes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    calls_per_minute: int | None = None
    max_concurrent: int | None = None
    cache_s: int = 0
    on_outage: OnOutage = "wait"
    cost_usd_micros: int = 0
    max_batch: int = 1
    parts: tuple[Part, ...] = ()


class ManifestDescription(Struct, frozen=True, kw_only=True):
    name: str
    title: str
    version: str
    tools: tuple[ToolDescription, ...]
    auth: Auth
    settings: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()
    egress: tuple[str, ...] = ()
    config: tuple[ConfigField, ...] = ()
    calls_per_minute: int | None = None
    max_concurrent: int | None = None
    models: ModelService | None = None


def described(manifest: Manifest) -> ManifestDescription:
    """The same for two manifests that promise the same. Tools stand in order of name."""
    return ManifestDescription(
        name=manifest.name,
        title=manifest.title,
        version=manifest.version,
        tools=tuple(_tool(tool) for tool in sorted(manifest.tools, key=lambda tool: tool.name)),
        auth=manifest.auth,
        settings=manifest.settings,
        scopes=manifest.scopes,
        egress=manifest.egress,
        config=manifest.config,
        calls_per_minute=manifest.calls_per_minute,
        max_concurrent=manifest.max_concurrent,
        models=manifest.models,
    )


def plain(description: ManifestDescription) -> dict[str, Any]:
    """As JSON has it."""
    found: dict[str, Any] = msgspec.to_builtins(description)
    return found


def description_of(document: dict[str, Any]) -> ManifestDescription:
    """Raises msgspec.ValidationError. Fields of a later SDK are passed over."""
    return msgspec.convert(document, ManifestDescription)


def _tool(tool: Tool[Any, Any]) -> ToolDescription:
    return ToolDescription(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        effect=tool.effect,
        idempotency=tool.idempotency,
        input_schema=input_schema(tool),
        output_schema=output_schema(tool),
        timeout_s=float(tool.timeout_s),
        scopes=tool.scopes,
        writes=tool.writes,
        calls_per_minute=tool.calls_per_minute,
        max_concurrent=tool.max_concurrent,
        cache_s=tool.cache_s,
        on_outage=tool.on_outage,
        cost_usd_micros=tool.cost_usd_micros,
        max_batch=tool.max_batch,
        parts=tuple(part for part in PARTS if getattr(tool, part) is not None),
    )
