"""Schemas of a description as JSON Schema 2020-12, shared by the tools that use them.

What goes in is closed: only described fields may be sent, and none that only the counterpart writes. What comes out is
as described, without what counterparts keep to least: formats, patterns and bounds.
"""

import re
from typing import Any, Literal

from fairlead_sdk.importing import MAX_NODES, Schema, nodes, references

from fairlead_http.keywords import COUNTS, NUMBERS, plain_keyword
from fairlead_http.pointing import CannotImport, found_at, pointer
from fairlead_http.reading import Document

MAX_DEPTH = 40  # within one schema, without its references
MAX_DEFINITIONS = 5_000

Side = Literal["in", "open", "out"]  # open: goes in, as a part of a whole that is itself closed

_NOT_OUT = NUMBERS | COUNTS | {"title", "description", "pattern", "format", "uniqueItems"}
_OF_MANY = frozenset({"properties", "patternProperties"})
_OF_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_OF_ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "propertyNames", "contains"})
_REFUSED = frozenset({"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"})
_COMPOSED = ("allOf", "anyOf", "oneOf", "if")
_UNCLEAN = re.compile(r"[^A-Za-z0-9_.-]+")


class Schemas:
    """Collects definitions while operations are read. `definitions` is complete once `finish` has been called."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nullable = str(document.get("openapi", "")).startswith("3.0")
        self.definitions: dict[str, Schema] = {}
        self.broken: dict[str, CannotImport] = {}
        self._keys: dict[tuple[str, Side], str] = {}
        self._taken: set[str] = set()
        self._waiting: list[tuple[str, Side, str]] = []
        self._reaches: dict[str, tuple[str, ...]] = {}
        self._sizes: dict[str, int] = {}

    def of(self, schema: Any, side: Side, path: str) -> Schema:
        """Raises CannotImport. Definitions that it uses are looked into by `finish`."""
        return self._convert(schema, side, path, 0)

    def finish(self) -> None:
        """Every definition that was named, and those named by them."""
        while self._waiting:
            reference, side, key = self._waiting.pop()
            try:
                target = found_at(self._document, reference, reference.removeprefix("#"))
                self.definitions[key] = self._convert(target, side, reference.removeprefix("#"), 0)
            except CannotImport as fault:
                self.definitions[key] = {}
                if side != "out":  # what comes out of it may be anything
                    self.broken[key] = fault
            self._reaches[key] = tuple(dict.fromkeys(references(self.definitions[key])))
            self._sizes[key] = nodes(self.definitions[key])

    def fault_of(self, schema: Schema) -> CannotImport | None:
        """Why what goes in cannot be described, with all that it reaches."""
        room = MAX_NODES - nodes(schema)
        waiting = list(dict.fromkeys(references(schema)))
        seen = set(waiting)
        for key in waiting:  # grows while it is walked
            if key in self.broken:
                return self.broken[key]
            room -= self._sizes.get(key, 0)
            if room < 0:
                return CannotImport("", "too_large", f"what it takes has more than {MAX_NODES} parts")
            reached = self._reaches.get(key, ())
            waiting += [each for each in reached if each not in seen]
            seen.update(reached)
        return None

    def _convert(self, schema: Any, side: Side, path: str, depth: int) -> Schema:
        if depth > MAX_DEPTH:
            raise CannotImport(path, "too_deep", f"it nests deeper than {MAX_DEPTH} levels")
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if not isinstance(schema, dict):
            raise CannotImport(path, "wrong_type", "a schema is an object")
        if refused := _REFUSED & schema.keys():
            raise CannotImport(path, "schema_unusable", f"{min(refused)} is not understood")
        found = self._keywords(schema, side, path, depth)
        if isinstance(schema.get("$ref"), str):
            found = self._with_reference(schema["$ref"], found, side, path)
        if side == "in":
            _close(found)
        return self._with_null(schema, found) if self._nullable else found

    def _keywords(self, schema: Schema, side: Side, path: str, depth: int) -> Schema:
        hidden = _hidden(schema, "readOnly" if side != "out" else "writeOnly")
        inner: Side = "out" if side == "out" else "open" if any(key in schema for key in _COMPOSED) else "in"
        found: Schema = {}
        for key, value in schema.items():
            if side != "out" or key not in _NOT_OUT:
                found.update(plain_keyword(key, value, path))
            if key in _OF_MANY and isinstance(value, dict):
                below: Side = "out" if side == "out" else "in"
                found[key] = {
                    name: self._convert(each, below, f"{path}{pointer(key, name)}", depth + 1)
                    for name, each in value.items()
                    if name not in hidden
                }
            elif key in _OF_LIST and isinstance(value, list):
                branch = inner if key != "prefixItems" else _below(side)
                found[key] = [
                    self._convert(each, branch, f"{path}{pointer(key, number)}", depth + 1)
                    for number, each in enumerate(value)
                ]
            elif key in _OF_ONE:
                branch = _below(side) if key in ("items", "additionalProperties", "contains") else "open"
                found[key] = self._convert(value, "out" if side == "out" else branch, f"{path}/{key}", depth + 1)
        _bounds_of_30(found)
        if hidden and "required" in found:
            found["required"] = [name for name in found["required"] if name not in hidden]
        return found

    def _with_reference(self, reference: str, beside: Schema, side: Side, path: str) -> Schema:
        if not reference.startswith("#/"):
            raise CannotImport(path, "remote_reference", "it refers to another document")
        beside = {key: value for key, value in beside.items() if key not in ("title", "description")}
        alone = {"$ref": f"#/$defs/{self._key(reference, 'open' if beside and side == 'in' else side)}"}
        return {**alone, **beside} if beside and not self._nullable else alone

    def _key(self, reference: str, side: Side) -> str:
        key = self._keys.get((reference, side))
        if key is None:
            if len(self._keys) >= MAX_DEFINITIONS:
                raise CannotImport(reference.removeprefix("#"), "too_many", "there are too many schemas")
            name = _UNCLEAN.sub("_", reference.rpartition("/")[2])[:80]
            names = (f"{side}.{name}{number or ''}" for number in range(MAX_DEFINITIONS + 1))
            key = next(each for each in names if each not in self._taken)
            self._keys[reference, side] = key
            self._taken.add(key)
            self._waiting.append((reference, side, key))
        return key

    def _with_null(self, schema: Schema, found: Schema) -> Schema:
        """OpenAPI 3.0 says `nullable` where a later schema has a type more."""
        if schema.get("nullable") is not True:
            return found
        if isinstance(found.get("type"), str) and "enum" not in found and "const" not in found:
            return {**found, "type": [found["type"], "null"]}
        return {"anyOf": [found, {"type": "null"}]} if found else found


def _below(side: Side) -> Side:
    return "out" if side == "out" else "in"


def _hidden(schema: Schema, mark: str) -> frozenset[str]:
    """Fields that do not travel in this direction."""
    fields = schema.get("properties")
    if not isinstance(fields, dict):
        return frozenset()
    return frozenset(name for name, each in fields.items() if isinstance(each, dict) and each.get(mark) is True)


def _bounds_of_30(found: Schema) -> None:
    """There `exclusiveMinimum: true` speaks about `minimum`."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and bound in found:
            found[exclusive] = found.pop(bound)


def _close(found: Schema) -> None:
    """An object that says nothing of other fields has none."""
    if "additionalProperties" in found or "unevaluatedProperties" in found:
        return
    if any(key in found for key in _COMPOSED) or ("$ref" in found and len(found) > 1):
        found["unevaluatedProperties"] = False
    elif "properties" in found:
        found["additionalProperties"] = False
        if "required" in found:
            found["required"] = [name for name in found["required"] if name in found["properties"]]
