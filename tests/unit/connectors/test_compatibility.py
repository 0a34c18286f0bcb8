"""What may follow under the same major version, and what needs a new one."""

from typing import Annotated, Any

import msgspec
import pytest
from fairlead_sdk import Access, Auth, AuthKind, ConfigField, Effect, Idempotency, JsonSchema, Scope
from fairlead_sdk.contract import schema_of
from fairlead_sdk.description import described
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from fairlead.domain.connectors.compatibility import differences
from fairlead.domain.connectors.widening import gaps
from fairlead.domain.workflow.schemas import compile_schema
from tests.support.connectors import manifest, pay, tool


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT: dict[str, Any] = {"type": "string"}
BASE = closed(("title",), title={"type": "string", "maxLength": 100}, priority={"enum": ["low", "high"]})


def changed(**fields: Any) -> dict[str, Any]:
    return {**BASE, "properties": {**BASE["properties"], **fields}}


@pytest.mark.parametrize(
    "wider",
    [
        BASE,
        {**BASE, "title": "A ticket", "description": "To be opened."},
        {**BASE, "required": []},
        changed(note=TEXT),
        changed(title={"type": "string", "maxLength": 200}),
        changed(title={"type": "string"}),
        changed(title={"type": ["string", "null"]}),
        changed(title={"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        changed(priority={"enum": ["low", "high", "urgent"]}),
        changed(priority=TEXT),
        {**BASE, "additionalProperties": {"type": "integer"}},
        True,
        {},
    ],
)
def test_what_takes_more_has_no_gap(wider: Any) -> None:
    assert gaps(wider, BASE) == []


@pytest.mark.parametrize(
    ("narrower", "place", "message"),
    [
        ({**BASE, "required": ["title", "priority"]}, "/priority", "may be missing"),
        (closed(("title",), title=BASE["properties"]["title"]), "/priority", "is not a field"),
        (changed(title={"type": "string", "maxLength": 99}), "/title", "maxLength is 99 there and 100 here"),
        (changed(title={"type": "string", "maxLength": 100, "minLength": 1}), "/title", "minLength"),
        (changed(title={"type": "string", "maxLength": 100, "pattern": "^a"}), "/title", "pattern is another"),
        (changed(title={"type": "integer"}), "/title", "may be of type string"),
        (changed(priority={"enum": ["low"]}), "/priority", "may be 'high'"),
        (changed(priority={"const": "low"}), "/priority", "may be 'high'"),
        (changed(title={"enum": ["a"]}), "/title", "more than the listed values"),
        (changed(title=False), "/title", "is not taken"),
        ({**BASE, "not": {"required": ["priority"]}}, "", "not is another"),
        ({**BASE, "properties": {**BASE["properties"], "title": {"$ref": "#/$defs/none"}}}, "/title", "compared"),
        (False, "", "is not taken"),
    ],
)
def test_what_takes_less_is_named_by_its_place(narrower: Any, place: str, message: str) -> None:
    found = gaps(narrower, BASE)
    assert [(gap.place, message in gap.message) for gap in found] == [(place, True)], found


def test_what_stands_beside_alternatives_and_references_counts() -> None:
    short = {"maxLength": 3, "anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert gaps(short, {"type": "string"}) != []
    assert gaps(short, {"type": "string", "maxLength": 3}) == []
    named = {"$ref": "#/$defs/A", "maxLength": 3, "$defs": {"A": TEXT}}
    assert gaps(named, TEXT) != []


def test_one_alternative_that_fits_does_not_make_another_fit_elsewhere() -> None:
    defs = {"A": closed(("a",), a=TEXT), "C": closed((), a=TEXT, b=TEXT), "B": closed((), a=TEXT)}
    either = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/C"}]}
    wide = {**closed((), x=either, y={"$ref": "#/$defs/A"}), "$defs": defs}
    narrow = {**closed((), x={"$ref": "#/$defs/B"}, y={"$ref": "#/$defs/B"}), "$defs": defs}
    assert [gap.place for gap in gaps(wide, narrow)] == ["/y/a"]


def test_a_schema_made_to_be_endless_is_refused_soon() -> None:
    defs = {f"D{n}": closed((), a={"$ref": f"#/$defs/D{n + 1}"}, b={"$ref": f"#/$defs/D{n + 1}"}) for n in range(40)}
    schema = {"$ref": "#/$defs/D0", "$defs": {**defs, "D40": TEXT}}
    assert "too much" in gaps(schema, {**schema})[-1].message


def test_items_and_maps_are_compared_inside() -> None:
    words, numbers = {"type": "array", "items": TEXT}, {"type": "array", "items": {"type": "integer"}}
    assert [gap.place for gap in gaps(closed(a=numbers), closed(a=words))] == ["/a/items"]
    assert gaps(closed(a={"type": "array"}), closed(a=words)) == []
    assert [gap.place for gap in gaps(closed(a=words), closed(a={"type": "array"}))] == ["/a/items"] * 5
    some, others = ({"type": "object", "additionalProperties": each} for each in (TEXT, {"type": "integer"}))
    assert [gap.place for gap in gaps(some, others)] == ["/*"]
    assert gaps({"type": "number"}, {"type": "integer"}) == []
    assert gaps({"type": "integer"}, {"type": "number"}) != []
    assert gaps({"enum": [1]}, {"enum": [True]}) != []


class Tree(Struct, forbid_unknown_fields=True):
    name: str
    below: list["Tree"] = []


class Deeper(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=5)]
    below: list["Deeper"] = []


def test_a_structure_that_contains_itself_is_compared_once() -> None:
    assert gaps(schema_of(Tree), schema_of(Tree)) == []
    assert gaps(schema_of(Tree), schema_of(Deeper)) == []
    assert [gap.place for gap in gaps(schema_of(Deeper), schema_of(Tree))] == ["/name"]


_scalars = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "maxLength": 2},
        {"type": "string", "minLength": 1},
        {"type": "integer"},
        {"type": "integer", "minimum": 1},
        {"type": "number", "maximum": 2},
        {"type": ["string", "null"]},
        {"enum": ["a", 1, None]},
        {"const": "a"},
        {"type": "boolean"},
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
    ]
)


@st.composite
def _objects(draw: st.DrawFn) -> dict[str, Any]:
    properties = draw(st.dictionaries(st.sampled_from("ab"), _scalars, max_size=2))
    rest = draw(st.one_of(st.just(False), st.just(True), _scalars))
    required = draw(st.lists(st.sampled_from("ab"), unique=True))
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": rest}


_values = st.dictionaries(
    st.sampled_from("abc"), st.sampled_from(["", "a", "abc", 0, 1, 5, 1.5, None, True]), max_size=3
)


@given(wide=_objects(), narrow=_objects(), value=_values)
def test_where_no_gap_is_found_everything_that_passes_one_passes_the_other(
    wide: dict[str, Any], narrow: dict[str, Any], value: dict[str, Any]
) -> None:
    if not gaps(wide, narrow) and compile_schema(narrow).is_valid(value):
        assert compile_schema(wide).is_valid(value)


def codes(old: dict[str, Any], new: dict[str, Any], **both: Any) -> list[tuple[str, str]]:
    before, after = described(manifest(tool(**both | old))), described(manifest(tool(**both | new)))
    return [(each.code, each.place) for each in differences(before, after)]


SCHEMA = JsonSchema(BASE)
WIDER = JsonSchema(changed(note=TEXT))
UNDO: dict[str, Any] = {"verify": pay, "compensate": pay}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"input": SCHEMA}, {"input": WIDER}, []),
        ({"input": WIDER}, {"input": SCHEMA}, [("input_narrowed", "/input/note")]),
        ({"output": SCHEMA}, {"output": WIDER}, []),
        ({"output": WIDER}, {"output": SCHEMA}, []),  # it was optional, and may be missing as before
        (
            {"output": SCHEMA},
            {"output": JsonSchema(closed((), priority=BASE["properties"]["priority"]))},
            [("output_widened", "/output/title")],
        ),
        (
            {"output": SCHEMA},
            {"output": JsonSchema(changed(priority={"enum": ["low", "high", "urgent"]}))},
            [("output_widened", "/output/priority")],
        ),
        ({"effect": Effect.WRITE}, {"effect": Effect.DESTRUCTIVE}, [("effect_changed", "")]),
        ({"idempotency": Idempotency.KEY}, {"idempotency": Idempotency.NATURAL}, [("idempotency_changed", "")]),
        ({}, {"scopes": ("a",)}, [("scope_widened", "/scopes/a")]),
        ({"scopes": ("a",)}, {}, []),
        ({}, {"writes": ("payment", "letter")}, [("writes_widened", "/writes/letter")]),
        (UNDO, {}, [("part_removed", ""), ("part_removed", "")]),
        ({}, UNDO, []),
        ({"timeout_s": 5.0}, {"timeout_s": 9.0}, []),
        ({"description": "a"}, {"description": "b"}, []),
        ({"name": "bills.pay"}, {"name": "bills.send"}, [("tool_removed", "")]),
    ],
)
def test_a_change_to_a_tool_is_compatible_or_named(
    old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert codes(old, new) == expected


READ, WRITE = (Scope(name="a", access=access, title="A") for access in (Access.READ, Access.WRITE))
REQUIRED, OPTIONAL = (ConfigField(name="base", title="Base", required=required) for required in (True, False))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"auth": Auth(kind=AuthKind.API_KEY)}, [("auth_changed", "")]),
        ({"scopes": (READ,)}, {"scopes": (WRITE,)}, [("scope_widened", "/scopes/a")]),
        ({"scopes": (WRITE,)}, {"scopes": (READ,)}, []),
        ({}, {"scopes": (WRITE,)}, []),
        ({}, {"config": (REQUIRED,)}, [("config_required", "/config/base")]),
        ({"config": (OPTIONAL,)}, {"config": (REQUIRED,)}, [("config_required", "/config/base")]),
        ({"config": (REQUIRED,)}, {"config": (OPTIONAL,)}, []),
        ({}, {"config": (OPTIONAL,)}, []),
        ({}, {"tools": (tool(), tool("bills.send"))}, []),
    ],
)
def test_a_change_to_the_manifest_is_compatible_or_named(
    old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    found = differences(described(manifest(**old)), described(manifest(**new)))
    assert [(each.code, each.place) for each in found] == expected


def test_a_difference_can_be_shown_as_it_is() -> None:
    (found,) = differences(described(manifest(tool(input=WIDER))), described(manifest(tool(input=SCHEMA))))
    assert msgspec.to_builtins(found) == {
        "where": "bills.pay",
        "code": "input_narrowed",
        "message": "what was sent is not a field",
        "place": "/input/note",
    }
