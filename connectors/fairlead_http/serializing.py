"""Arguments as parts of a request, in the styles of OpenAPI."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from fairlead_sdk import BadArguments

from fairlead_http.files import parts
from fairlead_http.recipes import Body, Parameter

_RESERVED = "!$'()*,/:;=?@[]"  # without what ends a value or means a space
_DOTS = frozenset({".", "..", ""})
_SLASHES = re.compile(r"[/\\]")  # which some counterparts take for a slash even when they are encoded
_SEPARATORS = {"spaceDelimited": "%20", "pipeDelimited": "|"}


def text_of(value: Any) -> str:
    """As JSON writes it, without the quotes of a text."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def in_path(parameter: Parameter, value: Any) -> str:
    """Raises BadArguments for what would lead to another path."""
    found = _path_value(parameter, value)
    parts = _SLASHES.split(unquote(found)) if parameter.style != "matrix" else [text_of(value)]
    if not found.strip(".,;=") or not _DOTS.isdisjoint(parts):
        raise BadArguments(f"{parameter.argument} cannot be part of a path", "bad_path_value")
    return found


def in_query(parameter: Parameter, value: Any) -> Iterator[str]:
    """`name=value` pairs, encoded."""
    name = _encoded(parameter.name)
    match parameter.style, value:
        case "json", _:
            yield f"{name}={_encoded(msgspec.json.encode(value).decode())}"
        case "deepObject", dict():
            yield from _deep(parameter.name, value)
        case _, list() if parameter.explode:
            yield from (f"{name}={_value(parameter, each)}" for each in value)
        case _, dict() if parameter.explode:
            yield from (f"{_encoded(key)}={_value(parameter, each)}" for key, each in value.items())
        case style, list() | dict():
            separator = _SEPARATORS.get(style, ",")
            yield f"{name}={separator.join(_value(parameter, each) for each in _flat(value))}"
        case _:
            yield f"{name}={_value(parameter, value)}"


def in_header(parameter: Parameter, value: Any) -> str:
    match parameter.style, value:
        case "json", _:
            return msgspec.json.encode(value).decode()
        case _, dict() if parameter.explode:
            return ",".join(f"{key}={text_of(each)}" for key, each in value.items())
        case _, list() | dict():
            return ",".join(text_of(each) for each in _flat(value))
    return text_of(value)


def in_cookie(parameter: Parameter, value: Any) -> Iterator[str]:
    for pair in in_query(parameter, value):
        yield pair.replace(",", "%2C")


def encoded_body(body: Body, value: Any) -> bytes:
    """Raises BadArguments for a form that is no object."""
    match body.kind:
        case "json":
            return msgspec.json.encode(value)
        case "text":
            return text_of(value).encode()
        case "multipart":
            return parts(body, _form(value))
        case "form":
            return "&".join(pair for name, each in _form(value).items() for pair in _field(body, name, each)).encode()


def _form(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadArguments("a form is an object", "bad_form")
    return value


def _field(body: Body, name: str, value: Any) -> Iterator[str]:
    if name in body.deep and isinstance(value, dict | list):
        yield from _deep(name, value)
    elif isinstance(value, list) and name in body.joined:
        yield f"{_encoded(name)}={','.join(_encoded(text_of(each)) for each in value)}"
    elif isinstance(value, list):
        yield from (f"{_encoded(name)}={_encoded(text_of(each))}" for each in value)
    else:
        yield f"{_encoded(name)}={_encoded(text_of(value))}"


def _deep(name: str, value: Any) -> Iterator[str]:
    """`name[key]=value`, at any depth; lists by number."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _deep(f"{name}[{key}]", each)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _deep(f"{name}[{number}]", each)
    else:
        yield f"{_encoded(name)}={_encoded(text_of(value))}"


def _path_value(parameter: Parameter, value: Any) -> str:
    pairs = isinstance(value, dict) and parameter.explode
    joined = (
        [f"{_encoded(key)}={_encoded(text_of(each))}" for key, each in value.items()]
        if pairs
        else [_encoded(text_of(each)) for each in _flat(value)]
    )
    name = _encoded(parameter.name)
    match parameter.style:
        case "json":
            return _encoded(msgspec.json.encode(value).decode())
        case "label":
            return "." + ("." if parameter.explode else ",").join(joined)
        case "matrix" if pairs:
            return "".join(f";{pair}" for pair in joined)
        case "matrix" if parameter.explode and isinstance(value, list):
            return "".join(f";{name}={each}" for each in joined)
        case "matrix":
            return f";{name}={','.join(joined)}"
    return ",".join(joined)


def _flat(value: Any) -> list[Any]:
    """An object is its keys and values in turn."""
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    return value if isinstance(value, list) else [value]


def _value(parameter: Parameter, value: Any) -> str:
    return quote(text_of(value), safe=_RESERVED if parameter.reserved else "")


def _encoded(text: str) -> str:
    return quote(text, safe="")
