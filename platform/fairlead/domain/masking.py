"""Values that only some may see: which of them a tool's schema calls sensitive, and how they look to the others.

A schema says it with `"x-sensitive": true` (or `"format": "password"`). Evidence has no schema: there, fields of the
same names are sensitive, and texts in which a sensitive value occurs. Places are JSON Pointers in which `*` is any
element of a list, or any member of an object whose names come from outside: so there are few of them however long the
lists are, and they say nothing of what is in there.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

MASK = "[sensitive]"
MASKED = "$masked"  # with the commitment, in place of an object
EXTENSION = "x-sensitive"
MAX_PLACES = 200
MAX_DEPTH = 200
MAX_STEPS = 50_000
EVERYTHING = ("/arguments", "/evidence")
WHOLE = ("",)
ANY = "*"
SHORTEST = 4  # characters; shorter values occur in any text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

Schema = dict[str, Any]
Path = tuple[str, ...]


def sensitive_places(
    schema: Schema,
    arguments: Any,
    evidence: Any,
    others: frozenset[str] = frozenset(),
    known: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """In `{"arguments": …, "evidence": …}`, sorted. All of it where there are too many, or the schema is a maze. Also
    what is called like one of `others`, and what says one of the texts that are `known` to be sensitive."""
    try:
        found = set(_Search(schema).found(schema, arguments, ("arguments",)))
    except _TooMuch:
        return EVERYTHING
    found |= set(_alike(arguments, others, known, ("arguments",)))
    names = _names(schema) | others
    values = known | {text for path in found for text in _texts(_at(arguments, path[1:])) if len(text) >= SHORTEST}
    found |= set(_alike(evidence, names, values, ("evidence",)))
    if len(found) > MAX_PLACES:
        return EVERYTHING
    return tuple(sorted(_pointer(path) for path in found))


def masked(name: str, value: Any, places: Sequence[str]) -> Any:
    """`value` is what stands under `name`, which the places begin with."""
    paths = [path for path in map(_path, places) if path[0] == name]
    return _masked(value, [path[1:] for path in paths]) if paths else value


def places_of(schema: Schema, value: Any) -> tuple[str, ...]:
    """Where `value` is sensitive by its schema. An empty pointer is all of it."""
    try:
        found = set(_Search(schema).found(schema, value, ()))
    except _TooMuch:
        return WHOLE
    return _few(found)


def places_alike(value: Any, names: frozenset[str], values: frozenset[str]) -> tuple[str, ...]:
    """Where a value that no schema speaks of is like what is sensitive: by the name of a field, or by what is said."""
    return _few(set(_alike(value, names, values, ())))


def texts_at(value: Any, places: Sequence[str]) -> Iterator[str]:
    """What stands in these places, as far as it can be known again elsewhere."""
    for path in map(_path, places):
        yield from (text for text in _texts(_at(value, path)) if len(text) >= SHORTEST)


def names_in(schema: Schema) -> frozenset[str]:
    """Names of members that are marked anywhere in the schema."""
    return _names(schema)


def has_marks(schema: Any, depth: int = 0) -> bool:
    """Whether anything in the schema is sensitive. So is what is too deep to be read."""
    match schema:
        case dict():
            return (
                depth > MAX_DEPTH or _is_marked(schema) or any(has_marks(each, depth + 1) for each in schema.values())
            )
        case list() | tuple():
            return depth > MAX_DEPTH or any(has_marks(each, depth + 1) for each in schema)
        case _:
            return False


def hidden(value: Any, places: Sequence[str]) -> Any:
    """`value` as those see it who may not see what is in these places."""
    return _masked(value, [_path(place) for place in places])


def is_masked(value: Any) -> bool:
    """Whether anything in it is."""
    match value:
        case str():
            return value == MASK
        case dict():
            return MASKED in value or any(map(is_masked, value.values()))
        case list() | tuple():
            return any(map(is_masked, value))
        case _:
            return False


def left_alone(given: Any, before: Any) -> Any:
    """`given` with each mask replaced by what was `before` in the same place."""
    match given:
        case str() if given == MASK and before is not None:
            return before
        case dict():
            old = before if isinstance(before, dict) else {}
            return {key: left_alone(inner, old.get(key)) for key, inner in given.items()}
        case list():
            olds = [*(before if isinstance(before, list | tuple) else ()), *([None] * len(given))]
            return [left_alone(inner, old) for inner, old in zip(given, olds, strict=False)]
        case _:
            return given


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
            return [_masked(inner, _below(paths, ANY)) for inner in value]
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
            return [_kept(inner, old, _below(paths, ANY)) for inner, old in zip(given, olds, strict=False)]
        case _:
            return given


def _below(paths: list[Path], step: str) -> list[Path]:
    return [path[1:] for path in paths if path and path[0] in (step, ANY)]


_OF_ELEMENTS = ("items", "contains", "unevaluatedItems")


class _Search:
    """Where a value is of a part of its schema that is marked, in any way of reading the schema.

    A part is asked once about a value in one place: schemas refer to themselves, and to the same part many times over.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._seen: set[tuple[int, int, Path]] = set()

    def found(self, schema: Any, value: Any, path: Path, depth: int = 0) -> Iterator[Path]:
        """Raises _TooMuch."""
        if not isinstance(schema, dict) or (asked := (id(schema), id(value), path)) in self._seen:
            return
        self._seen.add(asked)
        if len(self._seen) > MAX_STEPS or depth > MAX_DEPTH:
            raise _TooMuch
        if _is_marked(schema):
            yield path
            return
        for same in _same_place(self._root, schema):
            yield from self.found(same, value, path, depth + 1)
        for part, inner, step in _parts(schema, value):
            yield from self.found(part, inner, (*path, step), depth + 1)


class _TooMuch(Exception):
    """The schema takes too long to read."""


def _parts(schema: Schema, value: Any) -> Iterator[tuple[Any, Any, str]]:
    """What is inside the value, with each part of the schema that speaks of it, and the step to it."""
    if isinstance(value, dict):
        members, rest = schema.get("properties", {}), list(_of_members(schema))
        for key, inner in value.items():
            step = key if key in members else ANY
            yield from ((part, inner, step) for part in (members.get(key), *rest))
    elif isinstance(value, list | tuple):
        parts = [*(schema.get(word) for word in _OF_ELEMENTS), *schema.get("prefixItems", ())]
        yield from ((part, inner, ANY) for inner in value for part in parts)


def _is_marked(schema: Schema) -> bool:
    return schema.get(EXTENSION) is True or schema.get("format") == "password"


def _same_place(root: Schema, schema: Schema) -> Iterator[Any]:
    """Other schemas that speak of the same value."""
    for word in ("$ref", "$dynamicRef"):
        if word in schema:
            yield _referred(root, schema[word])
    yield from schema.get("dependentSchemas", {}).values()
    for word in ("anyOf", "oneOf", "allOf"):
        yield from schema.get(word, ())
    for word in ("if", "then", "else"):
        yield schema.get(word)


def _of_members(schema: Schema) -> Iterator[Any]:
    """What any member may be held to, whatever its name."""
    yield from (schema.get("additionalProperties"), schema.get("unevaluatedProperties"))
    yield from schema.get("patternProperties", {}).values()


def _referred(root: Schema, reference: Any) -> Any:
    """Raises _TooMuch for one that goes by a name instead of a place."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise _TooMuch
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


def _alike(value: Any, names: frozenset[str], values: AbstractSet[str], path: Path) -> Iterator[Path]:
    match value:
        case dict():
            for key, inner in value.items():
                step = key if _NAME.fullmatch(key) else ANY
                if key in names or len(path) > MAX_DEPTH:
                    yield (*path, step)
                else:
                    yield from _alike(inner, names, values, (*path, step))
        case list() | tuple():
            for inner in value:
                yield from _alike(inner, names, values, (*path, ANY))
        case str() | int() | float() if values and _says(str(value), values):
            yield path


def _says(text: str, values: AbstractSet[str]) -> bool:
    return len(text) >= SHORTEST and (text in values or any(each in text for each in values))


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
        if step == ANY:
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            return [_at(inner, path[place + 1 :]) for inner in inside]
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _few(found: set[Path]) -> tuple[str, ...]:
    return WHOLE if len(found) > MAX_PLACES else tuple(sorted(_pointer(path) for path in found))


def _pointer(path: Path) -> str:
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in path)


def _path(pointer: str) -> Path:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
