"""What is wrong with a description is told, all at once, and never by an exception."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.openapi import public_style
from fairlead_http.importing import read
from fairlead_http.reading import MAX_JSON_BYTES, MAX_YAML_BYTES
from tests.support.openapi import described, imported, one, takes, tools

SMALL = public_style(5)


def problems(description: bytes, hints: dict[str, Any] | None = None, name: str = "crm") -> dict[str, str]:
    result = read(name, description, hints or {})
    assert (result.tool_set is None) is bool(result.problems)
    return {problem.path: problem.code for problem in result.problems}


@pytest.mark.parametrize(
    ("description", "path", "code"),
    [
        (b"", "", "malformed"),
        (b"{", "", "malformed"),
        (b"[]", "", "malformed"),
        (b"\xff\xfe", "", "malformed"),
        (b"%PDF-1.4", "", "malformed"),
        (b"a: [", "", "malformed"),
        (b"a: !!python/object/apply:os.system [id]", "", "malformed"),
        (b"a: !!timestamp 2026-01-01", "", "malformed"),
        (b"? [a, b]\n: c", "", "malformed"),
        (b"{}", "/openapi", "not_openapi_3"),
        (b'{"swagger": "2.0", "paths": {}}', "/openapi", "not_openapi_3"),
        (b'{"openapi": "3.2.0", "paths": {}}', "/openapi", "not_openapi_3"),
        (b'{"openapi": 3.1, "paths": {}}', "/openapi", "not_openapi_3"),
        (b'{"openapi": "3.1.0"}', "/paths", "missing"),
        (b'{"openapi": "3.1.0", "paths": []}', "/paths", "missing"),
        (b'{"openapi": "3.1.0", "paths": {}, "components": []}', "/components", "wrong_type"),
        (b'{"openapi": "3.1.0", "paths": {}}', "/paths", "no_operations"),
        (b"{" + b" " * MAX_JSON_BYTES, "", "too_large"),
        (b"a: b" + b" " * MAX_YAML_BYTES, "", "too_large"),
        (b"[" * 200_000, "", "too_deep"),
        (b"- " * 200_000, "", "too_deep"),
        (b'{"a":' * 200_000, "", "malformed"),
    ],
)
def test_what_is_no_description_is_refused_with_its_place(description: bytes, path: str, code: str) -> None:
    assert problems(description) == {path: code}


def test_yaml_that_doubles_with_every_line_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    assert problems("\n".join(lines).encode()) == {"": "too_deep"}


def test_yaml_that_holds_itself_is_refused() -> None:
    assert problems(b"a: &a [*a]") == {"": "too_deep"}


def test_yaml_is_read_as_people_mean_it() -> None:
    text = """
openapi: 3.0.0
paths:
  /on:
    get:
      operationId: on
      responses:
        200: {description: yes, content: {application/json: {schema: {type: string, enum: [on, off, 2026-01-01]}}}}
"""
    result = read("crm", text.encode(), {})
    assert result.tool_set is not None
    assert result.tool_set.tools[0].output["properties"]["body"] == {
        "type": "string",
        "enum": ["on", "off", "2026-01-01"],
    }


def test_everything_that_is_wrong_is_told_at_once() -> None:
    hints = {"operations": {"nobody": {}, "GET /nowhere": {}}, "security": "none_such"}
    found = problems(json.dumps(one({"operationId": "do"})).encode(), hints)
    assert found == {
        "/hints/operations/nobody": "unknown_operation",
        "/hints/operations/GET ~1nowhere": "unknown_operation",
        "/hints/security": "security",
    }
    assert problems(b"{", {"onyl": []}, "Bad Name") == {"/name": "bad_name", "/hints": "bad_hints", "": "malformed"}


@pytest.mark.parametrize(
    "hints",
    [
        {"onyl": []},
        {"operations": {"do": {"effect": "harmless"}}},
        {"operations": {"do": {"writes": []}}},
        {"operations": {"do": {"timeout_s": 0}}},
        {"operations": {"do": {"name": "Bad Name"}}},
        {"pagination": {"style": "cursor", "parameter": "after"}},
        {"pagination": {"style": "page"}},
        {"operations": {"do": {"pagination": {"style": "offset"}}}},
        {"base_url": "ftp://example.com"},
    ],
)
def test_hints_that_say_nothing_are_refused(hints: dict[str, Any]) -> None:
    assert set(problems(json.dumps(one({"operationId": "do"})).encode(), hints).values()) == {"bad_hints"}


@pytest.mark.parametrize(
    ("operation", "method", "code", "path"),
    [
        ({"parameters": [{"$ref": "other.yaml#/x"}]}, "get", "remote_reference", "/paths/~1things/get/parameters/0"),
        ({"parameters": [{"$ref": "#/nowhere"}]}, "get", "broken_reference", "/paths/~1things/get/parameters/0"),
        ({"parameters": [{"$ref": "#/components/x/a"}]}, "get", "circular_reference", "/components/x/b"),
        ({"parameters": {}}, "get", "wrong_type", "/paths/~1things/get/parameters"),
        ({"parameters": [{"name": "a", "in": "body"}]}, "get", "wrong_type", "/paths/~1things/get/parameters/0"),
        (
            {"parameters": [{"name": "a", "in": "query", "style": "matrix"}]},
            "get",
            "style",
            "/paths/~1things/get/parameters/0/style",
        ),
        (
            {"parameters": [{"name": "a", "in": "query", "content": {"application/xml": {}}}]},
            "get",
            "media_type",
            "/paths/~1things/get/parameters/0/content",
        ),
        (
            {"requestBody": {"content": {"application/xml": {}, "multipart/mixed": {}}}},
            "post",
            "media_type",
            "/paths/~1things/post/requestBody/content",
        ),
        (
            {"requestBody": {"content": {"multipart/form-data": {}}}},
            "post",
            "media_type",
            "/paths/~1things/post/requestBody/content/multipart~1form-data/schema",
        ),
        (
            {"requestBody": {"content": {"application/json": {"schema": {"$ref": "https://x.example/s.json"}}}}},
            "post",
            "remote_reference",
            "/paths/~1things/post/requestBody/content/application~1json/schema",
        ),
        ({}, "options", "method", "/paths/~1things/options"),
        ({"security": [{"a": [], "b": []}]}, "post", "security", "/paths/~1things/post/security"),
    ],
)
def test_an_operation_that_cannot_be_imported_is_named_with_place_and_reason(
    operation: dict[str, Any], method: str, code: str, path: str
) -> None:
    components = {"x": {"a": {"$ref": "#/components/x/b"}, "b": {"$ref": "#/components/x/a"}}}
    document = one(operation, method, components=components)
    document["paths"]["/fine"] = {"get": {"operationId": "fine", "responses": {}}}
    result = imported(document)
    assert result.tool_set is not None
    assert [tool.name for tool in result.tool_set.tools] == ["crm.fine"]
    ((left),) = result.left_out
    assert (left.operation, left.code) == (f"{method.upper()} /things", code)
    assert left.path == path or code == "circular_reference"


@pytest.mark.parametrize("path", ["things", "/a b", "/a#b", "/a\\b", "/ä", "/a\nb", "//a\x00"])
def test_a_path_that_no_address_can_hold_is_left_out(path: str) -> None:
    document = described({path: {"get": {"responses": {}}}, "/fine": {"get": {"responses": {}}}})
    result = imported(document)
    assert [(left.operation, left.code) for left in result.left_out] == [(path, "bad_path")]


def test_a_path_with_a_parameter_that_nobody_describes_is_left_out() -> None:
    result = imported(one({"operationId": "do"}, "get", "/things/{id}"))
    assert [left.code for left in result.left_out] == ["missing_parameter"]


def test_what_is_too_large_to_be_checked_is_left_out() -> None:
    wide = {"type": "object", "properties": {f"f{n}": {"type": "object", "properties": {}} for n in range(2_500)}}
    result = imported(takes({"$ref": "#/components/schemas/Wide"}, components={"schemas": {"Wide": wide}}))
    assert [left.code for left in result.left_out] == ["too_large"]
    deep: Any = {"type": "string"}
    for _ in range(50):
        deep = {"type": "array", "items": deep}
    assert [left.code for left in imported(takes(deep)).left_out] == ["too_deep"]


def test_more_operations_than_a_set_may_have_are_refused_whole() -> None:
    paths: dict[str, Any] = {f"/p{number}": {"get": {"responses": {}}} for number in range(2_001)}
    result = imported(described(paths))
    assert [(problem.path, problem.code) for problem in result.problems] == [("/paths", "too_many")]
    del paths["/p0"]
    assert len(tools(described(paths))) == 2_000


def test_the_same_description_gives_the_same_set() -> None:
    assert imported(SMALL) == imported(copy.deepcopy(SMALL))


_JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, "", "x", "#/", "#/components", [], {}, [None], {"$ref": "#/paths"}, [[]]]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_description_makes_it_fail(data: st.DataObject) -> None:
    """A whole description in which something, anywhere, is something else."""
    document = copy.deepcopy(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        _spoil(document, data)
    result = read("crm", json.dumps(document).encode(), {})
    assert (result.tool_set is None) is bool(result.problems)
    msgspec.json.encode(result)


def _spoil(value: Any, data: st.DataObject) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = data.draw(st.sampled_from(list(keys)))
        if isinstance(value[key], dict | list) and value[key] and data.draw(st.integers(0, 3)):
            value = value[key]
        else:
            value[key] = copy.deepcopy(data.draw(_JUNK))
            return
