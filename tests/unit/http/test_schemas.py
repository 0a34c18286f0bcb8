"""Schemas of either version of OpenAPI become JSON Schema that says the same, closed on the way in."""

from typing import Any

import jsonschema_rs
import pytest
from fairlead_sdk import JsonSchema, Manifest, Tool
from fairlead_sdk.importing import MAX_NODES, nodes, standalone

from fairlead.domain.tools import facts_of
from fairlead.domain.workflow.schemas import compile_schema
from fairlead_http.calling import tool_of
from tests.support.openapi import described, gives, imported, one, takes


def tool(document: dict[str, Any]) -> Tool[Any, Any]:
    tool_set = imported(document).tool_set
    assert tool_set is not None
    return tool_of(tool_set, tool_set.tools[0])


def accepts(document: dict[str, Any], body: Any) -> bool:
    """Whether a tool may be called with this body."""
    schema = tool(document).input
    assert isinstance(schema, JsonSchema)
    assert jsonschema_rs.meta.is_valid(schema.document)
    return compile_schema(schema.document).is_valid({"body": body})


def lets_out(document: dict[str, Any], body: Any) -> bool:
    schema = tool(document).output
    assert isinstance(schema, JsonSchema)
    return compile_schema(schema.document).is_valid({"status": 200, "body": body})


THING = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}


def test_only_described_fields_may_be_sent_at_any_depth() -> None:
    document = takes({"type": "object", "properties": {"list": {"type": "array", "items": THING}}})
    assert accepts(document, {"list": [{"a": "x"}]})
    assert not accepts(document, {"list": [{"a": "x", "c": 1}]})
    assert not accepts(document, {"list": [], "c": 1})
    assert not accepts(document, {"list": [{"b": 1}]})


def test_what_says_that_it_is_open_stays_open() -> None:
    document = takes({"type": "object", "properties": {}, "additionalProperties": THING})
    assert accepts(document, {"any": {"a": "x"}})
    assert not accepts(document, {"any": {"a": "x", "c": 1}})


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_a_whole_of_parts_is_closed_as_a_whole(version: str) -> None:
    parts = {
        "Part": {"type": "object", "properties": {"p": {"type": "string"}}},
        "Whole": {"allOf": [{"$ref": "#/components/schemas/Part"}, THING]},
    }
    document = takes({"$ref": "#/components/schemas/Whole"}, components={"schemas": parts}, openapi=version)
    assert accepts(document, {"p": "x", "a": "y"})
    assert not accepts(document, {"p": "x", "a": "y", "c": 1})
    alone = takes({"$ref": "#/components/schemas/Part"}, components={"schemas": parts}, openapi=version)
    assert accepts(alone, {"p": "x"})
    assert not accepts(alone, {"p": "x", "a": "y"})


def test_either_of_several_shapes_is_closed() -> None:
    document = takes({"oneOf": [THING, {"type": "object", "properties": {"z": {}}, "required": ["z"]}]})
    assert accepts(document, {"a": "x"})
    assert accepts(document, {"z": None})
    assert not accepts(document, {"a": "x", "c": 1})


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_what_public_descriptions_have_all_at_once_is_understood(version: str) -> None:
    """Wholes of parts, one shape of several told apart by a field, values that may be null, circles, two schemes."""
    base = {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"type": "string"},
            "parent": {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Animal"}]}
            if version == "3.0.3"
            else {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Animal"}]},
        },
    }
    schemas = {
        "Base": base,
        "Cat": {"allOf": [{"$ref": "#/components/schemas/Base"}, _own("cat", "lives")]},
        "Dog": {"allOf": [{"$ref": "#/components/schemas/Base"}, _own("dog", "tricks")]},
        "Animal": {
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat"}},
        },
    }
    schemes = {
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://a.example/t", "scopes": {}}}},
    }
    document = takes(
        {"$ref": "#/components/schemas/Animal"},
        components={"schemas": schemas, "securitySchemes": schemes},
        security=[{"key": []}, {"oauth": ["animals"]}],
        openapi=version,
    )
    cat = {"kind": "cat", "lives": 9}
    assert accepts(document, cat)
    assert accepts(document, {"kind": "dog", "tricks": 1, "parent": {**cat, "parent": None}})
    assert not accepts(document, {"kind": "dog", "lives": 9})
    assert not accepts(document, {**cat, "parent": {"kind": "dog", "lives": 9}})
    assert not accepts(document, {**cat, "wings": 2})
    for security, auth in (("key", "api_key"), ("oauth", "oauth2")):
        tool_set = imported(document, {"security": security}).tool_set
        assert tool_set is not None
        assert tool_set.auth.kind == auth


def _own(kind: str, field: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [field],
        "properties": {"kind": {"type": "string", "enum": [kind]}, field: {"type": "integer"}},
    }


def test_a_reference_with_more_beside_it_means_both_in_31() -> None:
    schemas = {"Thing": THING}
    beside = {"$ref": "#/components/schemas/Thing", "properties": {"d": {"type": "string"}}, "required": ["d"]}
    document = takes(beside, components={"schemas": schemas})
    assert accepts(document, {"a": "x", "d": "y"})
    assert not accepts(document, {"a": "x"})
    assert not accepts(document, {"a": "x", "d": "y", "c": 1})


def test_what_only_the_counterpart_writes_is_not_sent_and_what_only_we_write_does_not_come_back() -> None:
    fields = {"id": {"type": "string", "readOnly": True}, "pin": {"type": "string", "writeOnly": True}, "a": {}}
    schema = {"type": "object", "properties": fields, "required": ["id", "pin"]}
    assert accepts(takes(schema), {"pin": "1"})
    assert not accepts(takes(schema), {"pin": "1", "id": "x"})
    assert not accepts(takes(schema), {})
    assert lets_out(gives(schema), {"id": "x"})
    assert not lets_out(gives(schema), {"pin": "1"})


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "nullable": True}, ["x", None], [1]),
        ({"type": "string", "nullable": True, "enum": ["x"]}, ["x", None], ["y"]),
        ({"nullable": True, "allOf": [{"$ref": "#/components/schemas/Thing"}]}, [{"a": "x"}, None], [{"c": 1}, 1]),
        ({"nullable": True}, [None, 1, "x"], []),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, [4], [3]),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": True}, [2], [3]),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": False}, [3], [2]),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, [["x"]], [["x", "y"], [1]]),
        ({"type": "string", "pattern": "^a+$"}, ["aa"], ["b"]),
        ({"type": "string", "pattern": "^(?=a)b"}, ["anything"], [1]),
        ({"type": "string", "format": "uuid"}, ["6f1e8a2e-2c0c-4b0e-9d6a-111111111111"], ["x"]),
        ({"type": "string", "format": "byte"}, ["x"], [1]),
    ],
)
def test_what_30_says_in_its_own_words_is_understood(schema: Any, good: list[Any], bad: list[Any]) -> None:
    document = takes(schema, components={"schemas": {"Thing": THING}}, openapi="3.0.3")
    assert [value for value in good if not accepts(document, value)] == []
    assert [value for value in bad if accepts(document, value)] == []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, ["x", None], [1]),
        ({"const": 5}, [5], [6]),
        ({"type": "integer", "exclusiveMinimum": 3}, [4], [3]),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["x", 1]], [[1]]),
        ({"if": {"required": ["b"]}, "then": THING, "else": THING, "properties": {"b": {}}}, [{"a": "x"}], [{"c": 1}]),
        (True, [None, 1, {"x": 1}], []),
        (False, [], [None, 1]),
        ({"type": "object", "patternProperties": {"^x-": {"type": "string"}}}, [{"x-a": "1"}], [{"x-a": 1}]),
        ({"const": {"$ref": "x"}}, [{"$ref": "x"}], [1]),
    ],
)
def test_what_31_says_is_json_schema_already(schema: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not accepts(takes(schema), value)] == []
    assert [value for value in bad if accepts(takes(schema), value)] == []


@pytest.mark.parametrize("schema", [{"$id": "https://x.example"}, {"$dynamicRef": "#a"}, {"type": "file"}, [], 5])
def test_what_goes_in_must_be_understood_and_what_comes_out_need_not(schema: Any) -> None:
    assert [left.code for left in imported(takes(schema)).left_out] in (["schema_unusable"], ["wrong_type"])
    assert lets_out(gives(schema), {"any": 1})


@pytest.mark.parametrize(
    "keywords",
    [
        {"maximum": 2**63 - 1, "minimum": -(10**400)},
        {"maximum": "9", "minLength": -1, "maxLength": 1.5, "minItems": True, "maxItems": 2**60},
        {"multipleOf": 0, "uniqueItems": "yes", "pattern": 5, "format": [], "title": {}, "description": None},
        {"required": "a", "dependentRequired": [], "enum": [], "exclusiveMinimum": "0"},
        {"required": ["a", "a", 5]},
    ],
)
def test_keywords_that_mean_nothing_are_passed_over(keywords: dict[str, Any]) -> None:
    """And numbers that canonical JSON cannot write become the nearest that it can."""
    document = takes({"type": "object", "properties": {"a": {}}, **keywords})
    assert accepts(document, {"a": 1})
    made = tool(document)
    assert facts_of(Manifest(name="crm", title="CRM", version="1.0.0", tools=()), made).schema_hash


def test_schemas_may_lead_in_circles() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}, "v": {"type": "integer"}}}
    document = takes({"$ref": "#/components/schemas/Node"}, components={"schemas": {"Node": node}})
    assert accepts(document, {"next": {"next": {"v": 1}}})
    assert not accepts(document, {"next": {"next": {"v": "x"}}})


def test_what_comes_out_is_as_described_without_what_nobody_keeps_to() -> None:
    fields = {"at": {"type": "string", "format": "date-time", "maxLength": 3}, "n": {"type": "integer", "maximum": 1}}
    document = gives({"type": "object", "properties": fields, "required": ["at"]})
    assert lets_out(document, {"at": "yesterday", "n": 9, "new": True})
    assert not lets_out(document, {"at": 5})
    assert not lets_out(document, {"n": 1})


def test_an_answer_may_be_kept_out_of_every_check() -> None:
    tool_set = imported(gives(THING), {"operations": {"readThing": {"answers": "any"}}}).tool_set
    assert tool_set is not None
    assert tool_set.tools[0].output["properties"]["body"] == {}


@pytest.mark.parametrize(
    ("responses", "body", "kind"),
    [
        ({"204": {"description": "gone"}}, {"type": "null"}, "none"),
        ({"200": {"content": {"text/plain": {}}}}, {"type": "string"}, "text"),
        ({"200": {"content": {"application/pdf": {}}}}, {"type": "string", "contentEncoding": "base64"}, "binary"),
        ({"default": {"content": {"application/json": {"schema": {"type": "string"}}}}}, {"type": "string"}, "json"),
        ({"2XX": {"content": {"application/hal+json": {"schema": {"type": "string"}}}}}, {"type": "string"}, "json"),
        (
            {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}, "204": {}},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "json",
        ),
        ({"404": {"content": {"application/json": {"schema": {"type": "string"}}}}}, {"type": "null"}, "none"),
        ({}, {"type": "null"}, "none"),
    ],
)
def test_every_success_is_described(responses: dict[str, Any], body: Any, kind: str) -> None:
    tool_set = imported(one({"operationId": "do", "responses": responses}, "get")).tool_set
    assert tool_set is not None
    (found,) = tool_set.tools
    assert (found.output["properties"]["body"], found.recipe.get("answer", "json")) == (body, kind)


def test_arguments_have_names_that_expressions_can_use() -> None:
    names = ["filter[name]", "X-Trace-Id", "$top", "2nd", "body", "é"]
    parameters: list[dict[str, Any]] = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    parameters.append({"name": "id", "in": "query", "schema": {"type": "string"}})
    operation = {"parameters": parameters, "requestBody": {"content": {"application/json": {}}}}
    tool_set = imported(one({**operation, "operationId": "do"}, "post", "/x/{id}")).tool_set
    assert tool_set is not None
    found = list(tool_set.tools[0].input["properties"])
    assert found == ["filter_name", "X_Trace_Id", "top", "n2nd", "body", "value", "id", "id_query", "body_content"]


def test_an_operations_own_parameter_replaces_that_of_its_path() -> None:
    paths = {
        "/x/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {"parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}}], "responses": {}},
        }
    }
    tool_set = imported(described(paths)).tool_set
    assert tool_set is not None
    assert tool_set.tools[0].input["properties"] == {"id": {"type": "integer"}}
    assert tool_set.tools[0].input["required"] == ["id"]


def test_a_tools_schema_stands_alone_within_its_bound_and_keeps_what_is_near() -> None:
    chain = {
        f"N{number}": {"type": "object", "properties": {"n": {"$ref": f"#/$defs/N{number + 1}"}}}
        for number in range(3000)
    }
    chain["N3000"] = {"type": "string"}
    alone = standalone({"$ref": "#/$defs/N0"}, chain).document
    assert nodes(alone) <= MAX_NODES + 10
    assert "N5" in alone["$defs"]
    assert "N2999" not in alone["$defs"]
    assert compile_schema(alone).is_valid({"n": {"n": {}}})
    assert not compile_schema(alone).is_valid({"n": {"n": 5}})
