"""References within a description. None leads outside it, and none in circles."""

from typing import Any

from fairlead_http.reading import Document

MAX_HOPS = 16


class CannotImport(Exception):
    """Why no tool is made of an operation. `path` is a JSON Pointer into the description."""

    def __init__(self, path: str, code: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.code = code
        self.message = message


def pointer(*parts: str | int) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def found_at(document: Document, reference: str, path: str) -> Any:
    """What a reference within the document leads to. Raises CannotImport."""
    if not reference.startswith("#/"):
        raise CannotImport(path, "remote_reference", "it refers to another document")
    value: Any = document
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key[:6]) < len(value):
            value = value[int(key)]
        else:
            raise CannotImport(path, "broken_reference", "it refers to nothing")
    return value


def resolved(document: Document, value: Any, path: str) -> tuple[dict[str, Any], str]:
    """The object itself where there is a reference to it, and where that stands. Raises CannotImport."""
    for _ in range(MAX_HOPS):
        if not isinstance(value, dict):
            raise CannotImport(path, "wrong_type", "an object is expected")
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value, path
        value, path = found_at(document, reference, path), reference.removeprefix("#")
    raise CannotImport(path, "circular_reference", "it refers to itself")
