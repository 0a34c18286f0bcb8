"""Bodies of several parts: which fields are files, and the bytes that are sent."""

import base64
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from fairlead_sdk import BadArguments

from fairlead_http.files import content_type, parts
from fairlead_http.recipes import Body
from tests.support.openapi import imported, one

FILE = {"name": "a.txt", "base64": base64.b64encode(b"hello\r\n--").decode()}
BODY = Body(argument="body", kind="multipart", media_type="multipart/form-data", files={"file": "text/plain"})


def read(form: dict[str, Any], body: Body = BODY) -> list[tuple[Any, Any, Any, bytes]]:
    """As a server reads it: name, name of the file, type and content of each part."""
    sent = parts(body, form)
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type(body, sent).encode() + b"\r\n\r\n" + sent
    )
    found: list[Any] = []
    for part in message.iter_parts():
        disposition = part["Content-Disposition"].params
        found.append(
            (disposition["name"], disposition.get("filename"), part.get_content_type(), part.get_payload(decode=True))
        )
    return found


def test_fields_files_and_lists_of_them_are_parts() -> None:
    form = {"title": "é", "n": 5, "deep": {"a": [1]}, "tags": ["x", "y"], "file": [FILE, FILE | {"name": "b.txt"}]}
    assert read(form) == [
        ("title", None, "text/plain", "é".encode()),
        ("n", None, "text/plain", b"5"),
        ("deep", None, "application/json", b'{"a":[1]}'),
        ("tags", None, "text/plain", b"x"),
        ("tags", None, "text/plain", b"y"),
        ("file", "a.txt", "text/plain", b"hello\r\n--"),
        ("file", "b.txt", "text/plain", b"hello\r\n--"),
    ]


def test_the_same_arguments_are_the_same_bytes() -> None:
    assert parts(BODY, {"file": FILE}) == parts(BODY, {"file": FILE})
    assert parts(BODY, {}).endswith(b"--\r\n")


@pytest.mark.parametrize("name", ['a"; filename="evil', "a\r\nX-Admin: 1", "a\nb"])
def test_no_name_ends_its_line(name: str) -> None:
    sent = parts(BODY, {name: "x", "file": FILE | {"name": name}})
    heads = [piece.partition(b"\r\n\r\n")[0] for piece in sent.split(b"--")]
    assert not any(line.startswith(b"X-Admin") for head in heads for line in head.split(b"\r\n"))
    assert b'"; filename="evil' not in sent


@pytest.mark.parametrize("text", ["!", "YQ", "Y Q=="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadArguments):
        parts(BODY, {"file": {"name": "x", "base64": text}})


@pytest.mark.parametrize(
    ("field", "is_file"),
    [
        ({"type": "string", "format": "binary"}, True),
        ({"type": "string", "contentMediaType": "image/png"}, True),
        ({"$ref": "#/components/schemas/File"}, True),
        ({"type": "array", "items": {"type": "string", "format": "binary"}}, True),
        ({"type": "string", "contentMediaType": "image/png", "contentEncoding": "base64"}, False),
        ({"type": "string", "format": "byte"}, False),
        ({"type": "object", "properties": {}}, False),
    ],
)
def test_files_are_given_by_name_and_base64(field: dict[str, Any], is_file: bool) -> None:
    schema = {"type": "object", "properties": {"it": field, "title": {"type": "string"}}, "required": ["it"]}
    encoding = {"it": {"contentType": "image/png"}}
    content = {"multipart/form-data": {"schema": schema, "encoding": encoding}}
    components = {"schemas": {"File": {"type": "string", "format": "binary"}}}
    result = imported(one({"operationId": "send", "requestBody": {"content": content}}, components=components))
    assert result.tool_set is not None, result.left_out
    (tool,) = result.tool_set.tools
    assert tool.recipe["body"].get("files", {}) == ({"it": "image/png"} if is_file else {})
    it = tool.input["properties"]["body"]["properties"]["it"]
    shape = it.get("items", it)
    assert (set(shape.get("properties", {})) == {"name", "base64"}) is is_file
