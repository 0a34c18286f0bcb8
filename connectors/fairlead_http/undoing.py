"""How an imported operation is taken back: by another operation of the same service, as whoever imports says."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fairlead_sdk import Effect, Idempotency, Refused
from fairlead_sdk.importing import ImportedTool
from msgspec.structs import replace

from fairlead_http.hints import Undo
from fairlead_http.operations import Operation
from fairlead_http.recipes import Recipe, UndoRecipe, kept, recipe_of

_REFERENCE = re.compile(r"\{(input|output)((?:\.[A-Za-z0-9_-]+)+)\}")
Made = tuple[Operation, ImportedTool]


class CannotUndo(Exception):
    """What is wrong with a hint."""


def with_undo(tool: ImportedTool, undo: Undo, made: Iterable[Made]) -> ImportedTool:
    """The tool that knows how it is undone, and needs what that needs. Raises CannotUndo."""
    other = next((each for operation, each in made if undo.operation in (operation.id, operation.key)), None)
    if other is None:
        raise CannotUndo("no imported operation is called so")
    if tool.effect is Effect.READ or other.effect is Effect.READ:
        raise CannotUndo("a read is not undone, and undoes nothing")
    if other.idempotency is Idempotency.NONE:
        raise CannotUndo("it is asked again until it has answered: say why that is harmless with `idempotency`")
    _check(undo, other)
    recipe = replace(
        recipe_of(tool.recipe), undo=UndoRecipe(recipe=recipe_of(other.recipe), arguments=dict(undo.arguments))
    )
    return replace(tool, recipe=kept(recipe), scopes=tuple(dict.fromkeys((*tool.scopes, *other.scopes))))


def filled(undo: UndoRecipe, arguments: Any, output: Any) -> tuple[Recipe, dict[str, Any]]:
    """What is asked. Raises Refused where the call's output lacks what is needed."""
    known = {"input": arguments, "output": output}
    return undo.recipe, {name: _filled(value, known) for name, value in undo.arguments.items()}


def _check(undo: Undo, other: ImportedTool) -> None:
    takes = other.input.get("properties", {})
    if unknown := sorted(set(undo.arguments) - set(takes)):
        raise CannotUndo(f"it takes no {unknown[0]}")
    if missing := [name for name in other.input.get("required", ()) if name not in undo.arguments]:
        raise CannotUndo(f"it needs {missing[0]}")
    for text in _texts(undo.arguments):
        if text.startswith("{") and not _REFERENCE.fullmatch(text):
            raise CannotUndo("what stands in braces is {input.…} or {output.…}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _filled(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return _at(known[found[1]], found[2][1:]) if found else value


def _at(value: Any, path: str) -> Any:
    """Raises Refused."""
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise Refused("the call's output does not say what is to be undone", "cannot_be_undone")
        value = value[name]
    return value
