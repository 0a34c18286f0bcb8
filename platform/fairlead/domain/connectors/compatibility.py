"""What may follow under the same major version: workflows that call a connector must go on as they are."""

from collections.abc import Iterator

from fairlead_sdk.auth import Access, Scope
from fairlead_sdk.description import ManifestDescription, ToolDescription
from msgspec import Struct

from fairlead.domain.connectors.widening import gaps

_RANK = {Access.READ: 0, Access.WRITE: 1, Access.ADMIN: 2}


class Difference(Struct, frozen=True):
    """Why a new major version is needed. `where` is a tool's name, or the connector's; `place` a JSON Pointer."""

    where: str
    code: str
    message: str
    place: str = ""


def differences(old: ManifestDescription, new: ManifestDescription) -> list[Difference]:
    """Empty where `new` can take the place of `old`."""
    return [*_manifest(old, new), *_tools(old, new)]


def _manifest(old: ManifestDescription, new: ManifestDescription) -> Iterator[Difference]:
    if (old.auth.kind, old.auth.handed_over) != (new.auth.kind, new.auth.handed_over):
        yield Difference(new.name, "auth_changed", "tenants would have to sign in again, in another way")
    known = {field.name: field for field in old.config}
    for field in new.config:
        was_there = field.name in known and known[field.name].required
        if field.required and not was_there:
            message = f"connections that there are do not say {field.name}"
            yield Difference(new.name, "config_required", message, f"/config/{field.name}")
    yield from _scopes(new.name, {scope.name: scope for scope in old.scopes}, new.scopes)


def _scopes(name: str, known: dict[str, Scope], given: tuple[Scope, ...]) -> Iterator[Difference]:
    for scope in given:
        if scope.name in known and _RANK[scope.access] > _RANK[known[scope.name].access]:
            message = f"{scope.name} opens {scope.access}, and people granted {known[scope.name].access}"
            yield Difference(name, "scope_widened", message, f"/scopes/{scope.name}")


def _tools(old: ManifestDescription, new: ManifestDescription) -> Iterator[Difference]:
    given = {tool.name: tool for tool in new.tools}
    for tool in old.tools:
        if tool.name not in given:
            yield Difference(tool.name, "tool_removed", "workflows call it")
        else:
            yield from _tool(tool, given[tool.name])


def _tool(old: ToolDescription, new: ToolDescription) -> Iterator[Difference]:
    if old.effect is not new.effect:
        yield Difference(old.name, "effect_changed", f"it was a {old.effect} and is a {new.effect}")
    if old.idempotency is not new.idempotency:
        message = f"repeating it was harmless by {old.idempotency} and is by {new.idempotency}"
        yield Difference(old.name, "idempotency_changed", message)
    for scope in sorted(set(new.scopes) - set(old.scopes)):
        yield Difference(
            old.name, "scope_widened", f"it needs {scope}, which nobody granted for it", f"/scopes/{scope}"
        )
    for kind in sorted(set(new.writes) - set(old.writes)):
        yield Difference(
            old.name, "writes_widened", f"it writes {kind}, which workflows do not declare", f"/writes/{kind}"
        )
    for part in old.parts:
        if part in ("verify", "compensate") and part not in new.parts:
            yield Difference(old.name, "part_removed", f"it had {part}, which runs under way rely on")
    for gap in gaps(new.input_schema, old.input_schema):
        yield Difference(old.name, "input_narrowed", f"what was sent {gap.message}", f"/input{gap.place}")
    for gap in gaps(old.output_schema, new.output_schema, extra_fields=True):
        yield Difference(old.name, "output_widened", f"what is read {gap.message}", f"/output{gap.place}")
