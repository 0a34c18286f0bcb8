"""Tool sets that a tenant imported: versions that never change, each the tools of one description.

A set's stream says which versions there are. What a version consists of is a stream of its own whose id follows from
its content, written first, so that reading a set's history stays quick and the same content is kept once.
"""

import hashlib
from typing import Any

import msgspec
from fairlead_sdk.contract import Effect
from fairlead_sdk.importing import ToolSet
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import Rejected

MAX_VERSIONS = 1_000
DIGEST_CHARS = 32

_encode = msgspec.json.Encoder(order="deterministic").encode


class ToolsetDefined(Event, frozen=True, kw_only=True, tag="toolset.defined.v1"):
    """What was made of a description, as the SDK's ToolSet. Nothing else is ever in this stream."""

    name: str
    sha256: str
    definition: dict[str, Any]


class ToolsetImported(Event, frozen=True, kw_only=True, tag="toolset.imported.v1"):
    """A version: what importer `importer` (a connector, of `importer_version`) made of the description with this hash
    under these hints. `definition_sha256` leads to the tools. `left_out` operations became none."""

    name: str
    version: int
    title: str
    importer: str
    importer_version: str
    source_sha256: str
    definition_sha256: str
    hints: dict[str, Any]
    tools_by_effect: dict[Effect, int]
    left_out: int
    reason: str


ToolsetEvent = ToolsetDefined | ToolsetImported


class DefineToolset(Struct, frozen=True, kw_only=True):
    name: str
    sha256: str
    definition: dict[str, Any]


class ImportToolset(Struct, frozen=True, kw_only=True):
    """Its definition is on the log already."""

    name: str
    title: str
    importer: str
    importer_version: str
    source_sha256: str
    definition_sha256: str
    hints: dict[str, Any]
    tools_by_effect: dict[Effect, int]
    left_out: int
    reason: str


ToolsetCommand = DefineToolset | ImportToolset


class Blank(Struct, frozen=True):
    pass


class Defined(Struct, frozen=True):
    sha256: str


class Imported(Struct, frozen=True, kw_only=True):
    version: int
    importer: str
    definition_sha256: str


ToolsetState = Blank | Defined | Imported


class TooManyVersions(Rejected):
    """The set has as many versions as a set may have: import under another name."""

    code = "too_many_toolset_versions"


def toolset_stream(tenant_id: TenantId, name: str) -> StreamRef:
    return StreamRef(tenant_id, "toolset", name)


def definition_stream(tenant_id: TenantId, name: str, sha256: str) -> StreamRef:
    """Names of sets have no `-`."""
    return StreamRef(tenant_id, "toolset", f"{name}-{sha256[:DIGEST_CHARS]}")


def definition_of(tool_set: ToolSet) -> tuple[dict[str, Any], str]:
    """As plain data, and its SHA-256 over JSON with its keys in order."""
    plain: dict[str, Any] = msgspec.to_builtins(tool_set)
    return plain, hashlib.sha256(_encode(plain)).hexdigest()


def initial() -> ToolsetState:
    return Blank()


def decide(command: ToolsetCommand, state: ToolsetState) -> list[ToolsetEvent]:
    """Say what happens. Raises TooManyVersions."""
    match command, state:
        case DefineToolset(), Blank():
            return [ToolsetDefined(name=command.name, sha256=command.sha256, definition=command.definition)]
        case ImportToolset(), Blank() | Imported():
            return _import(command, state)
    return []  # the content is there already


def _import(command: ImportToolset, state: Blank | Imported) -> list[ToolsetEvent]:
    newest = state.version if isinstance(state, Imported) else 0
    if isinstance(state, Imported) and _is_same(command, state):
        return []
    if newest >= MAX_VERSIONS:
        raise TooManyVersions(f"{command.name} has {newest} versions")
    return [
        ToolsetImported(
            name=command.name,
            version=newest + 1,
            title=command.title,
            importer=command.importer,
            importer_version=command.importer_version,
            source_sha256=command.source_sha256,
            definition_sha256=command.definition_sha256,
            hints=command.hints,
            tools_by_effect=command.tools_by_effect,
            left_out=command.left_out,
            reason=command.reason,
        )
    ]


def _is_same(command: ImportToolset, state: Imported) -> bool:
    """The same tools, whatever the description says besides."""
    return (command.importer, command.definition_sha256) == (state.importer, state.definition_sha256)


def evolve(state: ToolsetState, event: ToolsetEvent) -> ToolsetState:
    match event:
        case ToolsetDefined():
            return Defined(event.sha256)
        case ToolsetImported():
            assert not isinstance(state, Defined), "content and versions have streams of their own"
            return Imported(version=event.version, importer=event.importer, definition_sha256=event.definition_sha256)
