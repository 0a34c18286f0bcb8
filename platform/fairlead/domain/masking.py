"""Values that only some may see: which of them a tool's schema calls sensitive, and how they look to the others.

A schema says it with `"x-sensitive": true` (or `"format": "password"`). Evidence has no schema: there, fields of the
same names are sensitive, and texts in which a sensitive value occurs. Places are JSON Pointers in which `*` is any
element of a list, so that there are few of them however long the lists are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

MASK = "[sensitive]"
EXTENSION = "x-sensitive"
MAX_PLACES = 200
MAX_DEPTH = 64
SHORTEST = 4  # characters; shorter values occur in any text

Schema = dict[str, Any]
Path = tuple[str, ...]


def sensitive_places(schema: Schema, arguments: Any, evidence: Any) -> tuple[str, ...]:
    """In `{"arguments": …, "evidence": …}`, sorted. Where there are too many, all of both is sensitive."""
    found = set(_marked(schema, schema, arguments, ("arguments",)))
    names = _names(schema)
    values = {text for path in found for text in _texts(_at(arguments, path[1:])) if len(text) >= SHORTEST}
    found |= set(_alike(evidence, names, values, ("evidence",)))
    if len(found) > MAX_PLACES:
        return ("/arguments", "/evidence")
    return tuple(sorted(_pointer(path) for path in found))


def masked(name: str, value: Any, places: Sequence[str]) -> Any:
    """`value` is what stands under `name`, which the places begin with."""
    paths = [path for path in map(_path, places) if path[0] == name]
    return _masked(value, [path[1:] for path in paths]) if paths else value


def kept(given: Any, before: Any, places: Sequence[str]) -> Any:
    """`given` with each mask in a sensitive place of the arguments replaced by what was there `before`: whoever edits
    what they do not see leaves it as it is."""
    return _kept(given, before, [path[1:] for path in map(_path, places) if path[0] == "arguments"])


def _masked(value: Any, paths: list[Path]) -> Any:
    if any(not path for path in paths):
        return value if value is None else MASK
    match value:
        case dict():
            return {key: _masked(inner, _below(paths, key)) if paths else inner for key, inner in value.items()}
        case list() | tuple():
            return [_masked(inner, _below(paths, "*")) for inner in value]
        case _:
            return value


def _kept(given: Any, before: Any, paths: list[Path]) -> Any:
    if any(not path for path in paths) and given == MASK:
        return before
    match given:
        case dict():
            old = before if isinstance(before, dict) else {}
            return {key: _kept(inner, old.get(key), _below(paths, key)) for key, inner in given.items()}
        case list():
            olds = [*(before if isinstance(before, list | tuple) else ()), *([None] * len(given))]
            return [_kept(inner, old, _below(paths, "*")) for inner, old in zip(given, olds, strict=False)]
        case _:
            return given


def _below(paths: list[Path], step: str) -> list[Path]:
    return [path[1:] for path in paths if path and path[0] == step]


def _marked(root: Schema, schema: Any, value: Any, path: Path, depth: int = 0) -> Iterator[Path]:
    """Where the value is of a part that is marked, in any way of reading the schema."""
    if not isinstance(schema, dict):
        return
    if depth > MAX_DEPTH or _is_marked(schema):
        yield path
        return
    for same in _same_place(root, schema):
        yield from _marked(root, same, value, path, depth + 1)
    if isinstance(value, dict):
        members, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for key, inner in value.items():
            yield from _marked(root, members.get(key, rest), inner, (*path, key), depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            for each in (schema.get("items"), *schema.get("prefixItems", ())):
                yield from _marked(root, each, inner, (*path, "*"), depth + 1)


def _is_marked(schema: Schema) -> bool:
    return schema.get(EXTENSION) is True or schema.get("format") == "password"


def _same_place(root: Schema, schema: Schema) -> Iterator[Any]:
    """Other schemas that speak of the same value."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        yield _referred(root, reference)
    for word in ("anyOf", "oneOf", "allOf"):
        yield from schema.get(word, ())
    for word in ("if", "then", "else"):
        yield schema.get(word)


def _referred(root: Schema, reference: str) -> Any:
    found: Any = root
    for step in _path(reference.removeprefix("#")):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _names(schema: Any, depth: int = 0) -> frozenset[str]:
    """Names of members that are marked anywhere in the schema."""
    if isinstance(schema, list):
        return frozenset().union(*(_names(each, depth + 1) for each in schema))
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return frozenset()
    members = schema.get("properties")
    here = [key for key, each in members.items() if _says_so(each)] if isinstance(members, dict) else []
    return frozenset(here).union(*(_names(each, depth + 1) for each in schema.values()))


def _says_so(schema: Any) -> bool:
    """Itself, or one of the ways in which it may be read."""
    if not isinstance(schema, dict):
        return False
    ways = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ())]
    return _is_marked(schema) or any(isinstance(each, dict) and _is_marked(each) for each in ways)


def _alike(value: Any, names: frozenset[str], values: set[str], path: Path) -> Iterator[Path]:
    match value:
        case dict():
            for key, inner in value.items():
                if key in names or len(path) > MAX_DEPTH:
                    yield (*path, key)
                else:
                    yield from _alike(inner, names, values, (*path, key))
        case list() | tuple():
            for inner in value:
                yield from _alike(inner, names, values, (*path, "*"))
        case str() | int() | float() if any(each in str(value) for each in values):
            yield path


def _texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case str():
            yield value
        case int() | float() if not isinstance(value, bool):
            yield str(value)


def _at(value: Any, path: Path) -> Any:
    """All that stands there: a list of it where the path goes through lists."""
    for place, step in enumerate(path):
        if step == "*":
            return [_at(inner, path[place + 1 :]) for inner in value] if isinstance(value, list | tuple) else None
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _pointer(path: Path) -> str:
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in path)


def _path(pointer: str) -> Path:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
