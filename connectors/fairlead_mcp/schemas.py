"""Schemas of a server's tools, made to stand in a set: closed at the top, with their definitions among the set's."""

from typing import Any

from fairlead_sdk.importing import MAX_NODES, Schema, nodes

_PLACES = ("#/$defs/", "#/definitions/")


class Unusable(Exception):
    """The message says why."""


def closed(schema: Schema) -> Schema:
    """Unknown arguments are refused, whatever the server would do with them. Raises Unusable."""
    if schema.get("type", "object") != "object":
        raise Unusable("its arguments are no object")
    return {"properties": {}, **schema, "type": "object", "additionalProperties": False}


def hoisted(schema: Schema, prefix: str, definitions: dict[str, Schema]) -> Schema:
    """The schema without definitions of its own: they are in `definitions`, under the prefix. Raises Unusable."""
    if nodes(schema) > MAX_NODES:
        raise Unusable("its schema is too large")
    own = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    found = {f"{prefix}_{name}": _moved(each, prefix, own) for name, each in own.items()}
    top = {key: each for key, each in schema.items() if key not in ("$defs", "definitions", "$schema", "$id")}
    moved: Schema = _moved(top, prefix, own)
    definitions.update(found)
    return moved


def _moved(value: Any, prefix: str, own: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_moved(each, prefix, own) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _target(each, prefix, own) if key == "$ref" else _moved(each, prefix, own) for key, each in value.items()
    }


def _target(reference: Any, prefix: str, own: dict[str, Any]) -> str:
    for place in _PLACES:
        if isinstance(reference, str) and reference.startswith(place) and reference.removeprefix(place) in own:
            return f"#/$defs/{prefix}_{reference.removeprefix(place)}"
    raise Unusable("its schema refers to what is not in it")
