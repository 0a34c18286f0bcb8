"""Parameters of an operation as arguments of a tool."""

import re
from collections.abc import Iterator
from typing import Any, cast

from fairlead_sdk.importing import Schema
from msgspec import Struct

from fairlead_http.naming import argument_name
from fairlead_http.pointing import CannotImport, pointer, resolved
from fairlead_http.reading import Document
from fairlead_http.recipes import In, Parameter, Style
from fairlead_http.schemas import Schemas

MAX_PARAMETERS = 100

_NOT_OURS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI has other places for them
_KEYS = frozenset({"idempotency-key", "x-idempotency-key"})
_STYLES: dict[str, tuple[Style, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
_IN_PATH = re.compile(r"\{([^{}/]+)\}")


class Arguments(Struct):
    """Grows while an operation is read."""

    properties: dict[str, Schema] = {}
    required: list[str] = []
    parameters: list[Parameter] = []
    key_header: str = ""

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": False,
        }


def read_parameters(
    document: Document, schemas: Schemas, path: str, item: dict[str, Any], operation: dict[str, Any], place: str
) -> Arguments:
    """Raises CannotImport."""
    arguments = Arguments(properties={}, required=[], parameters=[])
    known: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
    for listed, where in ((item, place.rpartition("/")[0]), (operation, place)):
        for parameter, at in _listed(document, listed.get("parameters", []), f"{where}/parameters"):
            known[str(parameter.get("in")), str(parameter.get("name"))] = (parameter, at)
    if len(known) > MAX_PARAMETERS:
        raise CannotImport(place, "too_many", f"an operation has at most {MAX_PARAMETERS} parameters")
    for parameter, at in known.values():
        _add(arguments, schemas, parameter, at)
    in_path = {parameter.name for parameter in arguments.parameters if parameter.place == "path"}
    if missing := set(_IN_PATH.findall(path)) - in_path:
        raise CannotImport(
            place, "missing_parameter", f"the path has {{{min(missing)}}}, and no parameter of that name"
        )
    return arguments


def _listed(document: Document, listed: Any, where: str) -> Iterator[tuple[dict[str, Any], str]]:
    if not isinstance(listed, list):
        raise CannotImport(where, "wrong_type", "parameters are a list")
    for number, each in enumerate(listed):
        yield resolved(document, each, f"{where}{pointer(number)}")


def _add(arguments: Arguments, schemas: Schemas, parameter: dict[str, Any], at: str) -> None:
    name, place = parameter.get("name"), parameter.get("in")
    if not isinstance(name, str) or not name or not isinstance(place, str) or place not in _STYLES:
        raise CannotImport(at, "wrong_type", "a parameter has a name, and is in path, query, header or cookie")
    if place == "header" and name.lower() in _NOT_OURS:
        return
    if place == "header" and name.lower() in _KEYS:
        arguments.key_header = name
        return
    schema, style = _schema_and_style(parameter, place, at)
    argument = argument_name(name, place, arguments.properties)
    arguments.properties[argument] = _described(schemas.of(schema, "in", f"{at}/schema"), parameter)
    if place == "path" or parameter.get("required") is True:
        arguments.required.append(argument)
    explode = parameter.get("explode", style in ("form", "deepObject"))
    arguments.parameters.append(
        Parameter(
            argument=argument,
            name=name,
            place=cast(In, place),
            style=style,
            explode=explode is True,
            reserved=parameter.get("allowReserved") is True and place == "query",
        )
    )


def _schema_and_style(parameter: dict[str, Any], place: str, at: str) -> tuple[Any, Style]:
    """A parameter has a schema, or a content of one media type."""
    content = parameter.get("content")
    if isinstance(content, dict) and content:
        media_type, media = next(iter(content.items()))
        if not media_type.partition(";")[0].strip().endswith("json"):
            raise CannotImport(f"{at}/content", "media_type", f"a parameter cannot be sent as {media_type[:100]}")
        return (media.get("schema", {}) if isinstance(media, dict) else {}), "json"
    allowed = _STYLES[place]
    style = parameter.get("style", allowed[0])
    if style not in allowed:
        raise CannotImport(f"{at}/style", "style", f"the style {str(style)[:50]} is not for a parameter in {place}")
    return parameter.get("schema", {}), style


def _described(schema: Schema, parameter: dict[str, Any]) -> Schema:
    text = parameter.get("description")
    if "$ref" in schema or "description" in schema or not isinstance(text, str) or not text.strip():
        return schema
    return {**schema, "description": text.strip()[:500]}
