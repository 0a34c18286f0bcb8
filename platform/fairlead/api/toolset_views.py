"""Imported sets of tools as they are shown, from the read model and from the sets themselves."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from fairlead_sdk.auth import AuthKind, Scope
from fairlead_sdk.contract import ConfigField, Effect, Idempotency
from fairlead_sdk.importing import ImportedTool, LeftOut, ToolSet
from fairlead_tenants.ids import PrincipalId
from msgspec import Meta, Struct

from fairlead.domain.envelope import Actor
from fairlead.domain.errors import Problem
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

_NEWEST = """
SELECT DISTINCT ON (name) name, version, title, importer, importer_version, source_sha256, tools_by_effect, left_out,
       author_kind, author_id, reason, imported_at
  FROM toolset_versions
 WHERE name > %(after)s
 ORDER BY name, version DESC
 LIMIT %(limit)s
"""
_VERSIONS = """
SELECT name, version, title, importer, importer_version, source_sha256, tools_by_effect, left_out, author_kind,
       author_id, reason, imported_at
  FROM toolset_versions
 WHERE name = %(name)s AND version < %(below)s
 ORDER BY version DESC
 LIMIT %(limit)s
"""
_CURRENT = """
SELECT name, max(version) AS version FROM toolset_versions GROUP BY name ORDER BY name
"""


class ToolBrief(Struct, frozen=True, kw_only=True):
    name: str
    title: str
    effect: Effect
    idempotency: Idempotency
    scopes: tuple[str, ...]
    writes: tuple[str, ...]


class SignIn(Struct, frozen=True, kw_only=True):
    """What a connection for the set needs, and which hosts its credential may go to."""

    auth: AuthKind
    scopes: tuple[Scope, ...]
    egress: tuple[str, ...]
    config: tuple[ConfigField, ...]


class ImportReport(Struct, frozen=True, kw_only=True):
    """`version` is null when nothing was imported: a dry run, or `problems`."""

    name: str
    version: int | None
    title: str
    problems: list[Problem]
    left_out: Annotated[list[LeftOut], Meta(description="Operations that no tool was made of, and why.")]
    left_out_count: int
    tools: list[ToolBrief]
    sign_in: SignIn | None


class ToolsetView(Struct, frozen=True, kw_only=True):
    """One version. `source_sha256` is of the description as it was sent."""

    name: str
    version: int
    title: str
    importer: str
    importer_version: str
    source_sha256: str
    tools_by_effect: dict[str, int]
    left_out: int
    author: Actor
    reason: str
    imported_at: Instant


class ToolsetDetail(ToolsetView, frozen=True, kw_only=True):
    sign_in: SignIn
    tools: list[ToolBrief]


class _Row(Struct, frozen=True, kw_only=True):
    name: str
    version: int
    title: str
    importer: str
    importer_version: str
    source_sha256: str
    tools_by_effect: dict[str, int]
    left_out: int
    author_kind: str
    author_id: PrincipalId
    reason: str
    imported_at: Instant

    def view(self) -> ToolsetView:
        author = Actor(kind=self.author_kind, id=self.author_id)  # type: ignore[arg-type]  # the table checks it
        fields = {name: getattr(self, name) for name in ToolsetView.__struct_fields__ if name != "author"}
        return ToolsetView(**fields, author=author)


class Current(Struct, frozen=True):
    name: str
    version: int


async def newest(tx: SqlTx, after: str, limit: int) -> Sequence[ToolsetView]:
    return [row.view() for row in await tx.rows(_NEWEST, {"after": after, "limit": limit}, _Row)]


async def versions(tx: SqlTx, name: str, below: int, limit: int) -> Sequence[ToolsetView]:
    params = {"name": name, "below": below, "limit": limit}
    return [row.view() for row in await tx.rows(_VERSIONS, params, _Row)]


async def current(tx: SqlTx) -> Sequence[Current]:
    """The newest version of each set, by name."""
    return await tx.rows(_CURRENT, None, Current)


def briefs(tools: Iterable[ImportedTool]) -> list[ToolBrief]:
    return [ToolBrief(**{name: getattr(tool, name) for name in ToolBrief.__struct_fields__}) for tool in tools]


def sign_in(tool_set: ToolSet) -> SignIn:
    return SignIn(auth=tool_set.auth.kind, scopes=tool_set.scopes, egress=tool_set.egress, config=tool_set.config)
