"""Finds the connector in its folder, and says in plain data what its manifest declares."""

import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from fairlead_sdk.contract import Manifest, Tool, input_schema, output_schema

from fairlead_sandbox.wire import ManifestSaid, Part, ToolSaid


class Unloadable(Exception):
    """Why there is no connector. The text quotes nothing but names and places."""


def load(module: str, folders: Sequence[str]) -> Manifest:
    """Raises Unloadable. Its own folders come first: what it brings along is what it gets."""
    sys.path[:0] = folders
    found: list[Any] = []
    try:
        hook = getattr(importlib.import_module(module), "register_connectors", None)
        if hook is None:
            raise Unloadable("it implements no hook register_connectors")
        hook(register=found.append)
        manifests = [connector.manifest for connector in found]
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a stranger's module may raise anything
        raise _reason(error) from None
    if len(manifests) != 1:
        raise Unloadable(f"it registers {len(manifests)} connectors, not one")
    if not isinstance(manifests[0], Manifest):
        raise Unloadable("what it calls its manifest is none")
    return manifests[0]


def _reason(error: BaseException) -> Unloadable:
    """Where, but not what it said: a message may quote a secret."""
    if isinstance(error, Unloadable):
        return error
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Unloadable(
        f"loading it raised {type(error).__name__} in line {last.lineno} of {PurePath(last.filename).name}"
    )


def said(manifest: Manifest) -> ManifestSaid:
    return ManifestSaid(
        name=manifest.name,
        title=manifest.title,
        version=manifest.version,
        tools=tuple(map(_said, manifest.tools)),
        settings=tuple(manifest.settings),
        auth=manifest.auth,
        scopes=tuple(manifest.scopes),
        egress=tuple(manifest.egress),
        config=tuple(manifest.config),
        calls_per_minute=manifest.calls_per_minute,
        max_concurrent=manifest.max_concurrent,
    )


def _said(tool: Tool[Any, Any]) -> ToolSaid:
    return ToolSaid(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input=input_schema(tool),
        output=output_schema(tool),
        parts=tuple(_parts(tool)),
        effect=tool.effect,
        idempotency=tool.idempotency,
        timeout_s=tool.timeout_s,
        scopes=tuple(tool.scopes),
        writes=tuple(tool.writes),
        calls_per_minute=tool.calls_per_minute,
        max_concurrent=tool.max_concurrent,
        cache_s=tool.cache_s,
        cost_usd_micros=tool.cost_usd_micros,
    )


def _parts(tool: Tool[Any, Any]) -> Iterator[Part]:
    parts: tuple[Part, ...] = ("run", "verify", "preview", "compensate")
    return (part for part in parts if getattr(tool, part) is not None)
