"""What one schema takes and another does not. Never says too little: what it cannot tell apart it reports.

Whoever sends by a schema can be given another that takes at least as much; whoever reads by one, another that gives at
most as much.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

_SAYS_NOTHING = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "$comment",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        "$defs",
    }
)
# At most / at least as far as the other: the key, and whether more of it takes less.
_BOUNDS: Mapping[str, bool] = {
    "minimum": True,
    "exclusiveMinimum": True,
    "minLength": True,
    "minItems": True,
    "minProperties": True,
    "maximum": False,
    "exclusiveMaximum": False,
    "maxLength": False,
    "maxItems": False,
    "maxProperties": False,
}
_COMPARED = frozenset(
    {"$ref", "type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items", *_BOUNDS}
)
_ANYTHING: dict[str, Any] = {}
MAX_DEPTH = 64
MAX_COMPARISONS = 50_000


class Gap(Struct, frozen=True):
    """`place` is a JSON Pointer through fields and items."""

    place: str
    message: str


def gaps(wide: Any, narrow: Any, *, extra_fields: bool = False) -> list[Gap]:
    """Where `narrow` lets something pass that `wide` does not. `extra_fields`: fields that only `narrow` knows do not
    count, for whoever reads passes over them."""
    return list(_Comparison(_defs(wide), _defs(narrow), extra_fields=extra_fields).of(wide, narrow, "", 0))


def _defs(schema: Any) -> Mapping[str, Any]:
    return schema.get("$defs", {}) if isinstance(schema, dict) else {}


class _Comparison:
    def __init__(self, wide: Mapping[str, Any], narrow: Mapping[str, Any], *, extra_fields: bool) -> None:
        self._wide = wide
        self._narrow = narrow
        self._extra_fields = extra_fields
        self._open: set[tuple[str | None, str | None]] = (
            set()
        )  # pairs of definitions: a structure that contains itself ends
        self._left = MAX_COMPARISONS

    def of(self, wide: Any, narrow: Any, place: str, depth: int) -> Iterator[Gap]:
        pair = (_reference(wide), _reference(narrow))
        if pair in self._open:
            return
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            yield Gap(place, "is too much to be compared")
        elif None in pair:
            yield from self._resolved(wide, narrow, place, depth)
        else:
            self._open.add(pair)
            yield from self._resolved(wide, narrow, place, depth)
            self._open.discard(pair)

    def _resolved(self, wide: Any, narrow: Any, place: str, depth: int) -> Iterator[Gap]:
        one, other = _resolved(wide, self._wide), _resolved(narrow, self._narrow)
        if one is None or other is None or _has_more(wide):
            yield Gap(place, "cannot be compared")
        elif other is not False and one is False:
            yield Gap(place, "is not taken")
        elif other is not False and one != _ANYTHING:
            yield from self._alternatives(one, other, place, depth)

    def _alternatives(self, wide: dict[str, Any], narrow: dict[str, Any], place: str, depth: int) -> Iterator[Gap]:
        if "anyOf" in narrow:
            for branch in narrow["anyOf"]:
                yield from self.of(wide, _both(_without(narrow, "anyOf"), branch), place, depth + 1)
        elif "anyOf" in wide:
            rest = _without(wide, "anyOf", *_SAYS_NOTHING)
            tried = [list(self.of(each, narrow, place, depth + 1)) for each in wide["anyOf"]]
            if all(tried):
                yield from min(tried, key=len)
            if rest:
                yield from self.of(rest, narrow, place, depth + 1)
        else:
            yield from self._single(wide, narrow, place, depth)

    def _single(self, wide: dict[str, Any], narrow: dict[str, Any], place: str, depth: int) -> Iterator[Gap]:
        yield from _types(wide, narrow, place)
        yield from _values(wide, narrow, place)
        yield from _bounds(wide, narrow, place)
        for key in sorted(wide.keys() - _COMPARED - _SAYS_NOTHING):
            if wide[key] != narrow.get(key):
                yield Gap(place, f"{key} is another")
        if "object" in _type_names(narrow):
            yield from self._fields(wide, narrow, place, depth)
        if "array" in _type_names(narrow) and "items" in wide:
            yield from self.of(wide["items"], narrow.get("items", True), f"{place}/items", depth + 1)

    def _fields(self, wide: dict[str, Any], narrow: dict[str, Any], place: str, depth: int) -> Iterator[Gap]:
        known, given = wide.get("properties", {}), narrow.get("properties", {})
        rest, others = wide.get("additionalProperties", True), narrow.get("additionalProperties", True)
        for name in sorted(set(wide.get("required", ())) - set(narrow.get("required", ()))):
            yield Gap(f"{place}/{name}", "may be missing" if name in given or others is not False else "is missing")
        for name in sorted(given):
            if name in known:
                yield from self.of(known[name], given[name], f"{place}/{name}", depth + 1)
            elif rest is False and not self._extra_fields:
                yield Gap(f"{place}/{name}", "is not a field")
            elif rest is not False:
                yield from self.of(rest, given[name], f"{place}/{name}", depth + 1)
        for name in sorted(known.keys() - given.keys()) if others is not False else ():
            yield from self.of(known[name], others, f"{place}/{name}", depth + 1)
        if others is not False and not (rest is False and self._extra_fields):
            yield from self.of(rest, others, f"{place}/*", depth + 1)


def _types(wide: dict[str, Any], narrow: dict[str, Any], place: str) -> Iterator[Gap]:
    if "type" not in wide:
        return
    taken, given = _type_names(wide), _type_names(narrow)
    for name in sorted(given - taken):
        if not (name == "integer" and "number" in taken):
            yield Gap(place, f"may be of type {name}")


def _values(wide: dict[str, Any], narrow: dict[str, Any], place: str) -> Iterator[Gap]:
    taken = _listed(wide)
    if taken is None:
        return
    given = _listed(narrow)
    if given is None:
        yield Gap(place, "may be more than the listed values")
        return
    for value in given:
        if not any(_same(value, each) for each in taken):
            yield Gap(place, f"may be {value!r}")


def _bounds(wide: dict[str, Any], narrow: dict[str, Any], place: str) -> Iterator[Gap]:
    if _listed(narrow) is not None:
        return  # each value has been looked at
    for key, more_takes_less in _BOUNDS.items():
        if key not in wide:
            continue
        bound, other = wide[key], narrow.get(key)
        if other is None or (other < bound if more_takes_less else other > bound):
            yield Gap(place, f"{key} is {bound} there and {'missing' if other is None else other} here")


def _listed(schema: dict[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    listed: list[Any] | None = schema.get("enum")
    return listed


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _type_names(schema: dict[str, Any]) -> set[str]:
    """Without a type it may be any; listed values have theirs."""
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    listed = _listed(schema)
    if listed is None:
        return {"null", "boolean", "number", "string", "array", "object"}
    return {_type_of(value) for value in listed}


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _reference(schema: Any) -> str | None:
    return schema.get("$ref") if isinstance(schema, dict) else None


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema as an object, or False for the one that takes nothing; None for what leads nowhere."""
    for _ in range(MAX_DEPTH):
        if schema is True:
            return _ANYTHING
        if schema is False:
            return False
        if not isinstance(schema, dict):
            return None
        reference = schema.get("$ref")
        if reference is None:
            return schema if _without(schema, *_SAYS_NOTHING) else _ANYTHING
        schema = definitions.get(str(reference).removeprefix("#/$defs/"))
    return None


def _has_more(schema: Any) -> bool:
    """Whether anything stands beside a reference."""
    return _reference(schema) is not None and bool(_without(schema, "$ref", *_SAYS_NOTHING))


def _both(schema: dict[str, Any], branch: Any) -> Any:
    """What passes both, or at least that: of a reference, and of what both say, only the branch's counts."""
    return {**schema, **branch} if isinstance(branch, dict) and "$ref" not in branch else branch


def _without(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}
