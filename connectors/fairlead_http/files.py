"""Bodies of several parts: fields of text, and files, which are given as base64."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from fairlead_sdk import BadArguments
from fairlead_sdk.importing import Schema

from fairlead_http.pointing import CannotImport, resolved
from fairlead_http.reading import Document
from fairlead_http.recipes import Body

MAX_FILE_CHARS = 16 * 1024 * 1024
ANY_FILE = "application/octet-stream"

_FILE: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "base64": {"type": "string", "maxLength": MAX_FILE_CHARS, "contentEncoding": "base64"},
    },
    "required": ["name", "base64"],
}
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_BOUNDARY = re.compile(rb"--([0-9a-f]{32})\r\n")


def with_files(document: Document, schema: Any, encoding: Any, path: str) -> tuple[Schema, dict[str, str]]:
    """With a name and base64 in place of each file, and the media types of the files. Raises CannotImport."""
    found, at = resolved(document, schema, path)
    fields = found.get("properties")
    if not isinstance(fields, dict):
        raise CannotImport(at, "media_type", "a body of several parts says which fields it has")
    files: dict[str, str] = {}
    shown: dict[str, Any] = {}
    for name, field in fields.items():
        kind = _file_of(document, field, f"{at}/properties")
        if kind is not None:
            files[name] = _media_type(encoding, name)
        shown[name] = field if kind is None else kind
    return {**found, "properties": shown}, files


def _file_of(document: Document, field: Any, path: str) -> Schema | None:
    """A file, or a list of files; None for a field of text."""
    if not isinstance(field, dict):
        return None
    given, at = resolved(document, field, path)
    if given.get("type") == "array" and isinstance(given.get("items"), dict):
        inner = _file_of(document, given["items"], f"{at}/items") if "$ref" not in given["items"] else None
        return {"type": "array", "items": inner} if inner else None
    is_file = given.get("format") == "binary" or ("contentMediaType" in given and "contentEncoding" not in given)
    return _FILE if is_file else None


def _media_type(encoding: Any, name: str) -> str:
    said = encoding.get(name) if isinstance(encoding, dict) else None
    kind = said.get("contentType") if isinstance(said, dict) else None
    return kind if isinstance(kind, str) and _MEDIA_TYPE.fullmatch(kind) else ANY_FILE


def parts(body: Body, form: dict[str, Any]) -> bytes:
    """The boundary follows from the content, so that the same arguments are the same bytes. Raises BadArguments."""
    pieces = [piece for name, value in form.items() for piece in _pieces(body, name, value)]
    boundary = hashlib.sha256(b"\0".join(pieces)).hexdigest()[:32].encode()
    if any(boundary in piece for piece in pieces):
        raise BadArguments("the files hold what tells them apart", "bad_form")
    whole = b"".join(b"--" + boundary + b"\r\n" + piece + b"\r\n" for piece in pieces)
    return whole + b"--" + boundary + b"--\r\n"


def content_type(body: Body, sent: bytes) -> str:
    if body.kind != "multipart":
        return body.media_type
    found = _BOUNDARY.match(sent)
    return f"{body.media_type}; boundary={found[1].decode() if found else sent[2:34].decode()}"


def _pieces(body: Body, name: str, value: Any) -> Iterator[bytes]:
    for each in value if isinstance(value, list) else [value]:
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        if name in body.files:
            head += f'; filename="{_quoted(str(each["name"]))}"\r\nContent-Type: {body.files[name]}'
            yield f"{head}\r\n\r\n".encode() + _content(name, each["base64"])
        elif isinstance(each, dict | list):
            yield f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + msgspec.json.encode(each)
        else:
            text = each if isinstance(each, str) else msgspec.json.encode(each).decode()
            yield f"{head}\r\n\r\n{text}".encode()


def _content(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadArguments(f"{name} is not base64", "bad_base64") from None


def _quoted(text: str) -> str:
    """As browsers write names: nothing in it ends the quotes or the line."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
