"""What an operation is sent besides parameters, and what it answers."""

from typing import Any

from fairlead_sdk.importing import Schema

from fairlead_http.files import with_files
from fairlead_http.naming import argument_name
from fairlead_http.parameters import Arguments
from fairlead_http.pointing import CannotImport, pointer, resolved
from fairlead_http.reading import Document
from fairlead_http.recipes import AnswerKind, Body, BodyKind
from fairlead_http.schemas import Schemas

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
Answer = tuple[AnswerKind, Schema, str]  # what it is, its schema, and what to accept


def read_body(
    document: Document, schemas: Schemas, operation: dict[str, Any], arguments: Arguments, place: str
) -> Body | None:
    """Adds the body to the arguments. Raises CannotImport for a body that cannot be sent."""
    if "requestBody" not in operation:
        return None
    request, at = resolved(document, operation["requestBody"], f"{place}/requestBody")
    content = request.get("content")
    if not isinstance(content, dict) or not content:
        return None
    kind, media_type = _sendable(content, at)
    media, where = resolved(document, content[media_type], f"{at}/content{pointer(media_type)}")
    name = argument_name("body", "content", arguments.properties)
    shape: Any = {"type": "string"} if kind == "text" else media.get("schema", {})
    files: dict[str, str] = {}
    if kind == "multipart":
        shape, files = with_files(document, shape, media.get("encoding"), f"{where}/schema")
    arguments.properties[name] = schemas.of(shape, "in", f"{where}/schema")
    if request.get("required") is True:
        arguments.required.append(name)
    deep, joined = _encodings(media) if kind == "form" else ((), ())
    sent_as = "application/json" if kind == "json" and "*" in media_type else media_type
    return Body(argument=name, kind=kind, media_type=sent_as, deep=deep, joined=joined, files=files)


def _sendable(content: dict[str, Any], at: str) -> tuple[BodyKind, str]:
    """The first that we can write; JSON before forms before files before text."""
    kinds: tuple[BodyKind, ...] = ("json", "form", "multipart", "text")
    for kind in kinds:
        for media_type in content:
            if _body_kind(media_type) == kind:
                return kind, media_type
    raise CannotImport(f"{at}/content", "media_type", f"a body cannot be sent as {', '.join(content)[:200]}")


def _body_kind(media_type: str) -> BodyKind | None:
    bare = media_type.partition(";")[0].strip().lower()
    if bare in ("*/*", "application/*", "application/json") or bare.endswith("+json"):
        return "json"
    if bare == FORM:
        return "form"
    if bare == MULTIPART:
        return "multipart"
    return "text" if bare.startswith("text/") else None


def _encodings(media: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fields of a form that are not sent as usual: `name[key]=…`, and lists that are one field with commas."""
    encoding = media.get("encoding")
    said = (
        {name: each for name, each in encoding.items() if isinstance(each, dict)} if isinstance(encoding, dict) else {}
    )
    deep = tuple(name for name, each in said.items() if each.get("style") == "deepObject")
    joined = tuple(
        name for name, each in said.items() if each.get("style") != "deepObject" and each.get("explode") is False
    )
    return deep, joined


def read_answer(document: Document, schemas: Schemas, operation: dict[str, Any], place: str) -> Answer:
    """Of everything that counts as success. What cannot be described may be anything."""
    responses = operation.get("responses")
    listed = responses if isinstance(responses, dict) else {}
    good = [status for status in listed if status.startswith("2")] or [key for key in listed if key == "default"]
    found = [_one(document, schemas, listed[status], f"{place}/responses{pointer(status)}") for status in good]
    described = [each for each in found if each[0] != "none"]
    if not described:
        return "none", {"type": "null"}, "*/*"
    kind = described[0][0]
    schemas_found = [schema for each, schema, _ in found if each in (kind, "none")]
    distinct = [schema for number, schema in enumerate(schemas_found) if schema not in schemas_found[:number]]
    return kind, distinct[0] if len(distinct) == 1 else {"anyOf": distinct}, described[0][2]


def _one(document: Document, schemas: Schemas, response: Any, at: str) -> Answer:
    try:
        given, where = resolved(document, response, at)
        content = given.get("content")
        if not isinstance(content, dict) or not content:
            return "none", {"type": "null"}, ""
        return _content(document, schemas, content, where)
    except CannotImport:
        return "json", {}, "application/json"


def _content(document: Document, schemas: Schemas, content: dict[str, Any], at: str) -> Answer:
    for media_type, media in content.items():
        if _body_kind(media_type) == "json":
            given, where = resolved(document, media, f"{at}/content{pointer(media_type)}")
            accept = "application/json" if "*" in media_type else media_type
            return "json", schemas.of(given.get("schema", {}), "out", f"{where}/schema"), accept
    media_type = next(iter(content))
    if media_type.lower().startswith("text/"):
        return "text", {"type": "string"}, media_type
    return "binary", {"type": "string", "contentEncoding": "base64"}, media_type
