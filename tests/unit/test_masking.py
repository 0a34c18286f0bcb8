"""Which values of a call not every reviewer sees, and how they look to the others."""

from typing import Annotated, Any

import msgspec
import pytest
from fairlead_sdk import SENSITIVE
from msgspec import Meta, Struct

from fairlead.domain.masking import EVERYTHING, MASK, MAX_DEPTH, MAX_PLACES, kept, masked, sensitive_places

Iban = Annotated[str, Meta(extra_json_schema=SENSITIVE)]


class Payee(Struct):
    name: str
    iban: Iban | None = None


class Payment(Struct):
    amount: Annotated[int, Meta(extra_json_schema=SENSITIVE)]
    payee: Payee
    others: list[Payee] = []
    note: str = ""


SCHEMA = msgspec.json.schema(Payment)
IBAN = "DE02120300000000202051"
ARGUMENTS: dict[str, Any] = {
    "amount": 4711,
    "payee": {"name": "Harbour", "iban": IBAN},
    "others": [{"name": "Quay", "iban": "FR7630006000011234567890189"}, {"name": "Pier"}],
    "note": "March",
}
EVIDENCE = {
    "before": {"iban": "GB33BUKB20201555555555"},
    "after": [f"pays 4711 to {IBAN}", "for March"],
    "count": 3,
}
PLACES = (
    "/arguments/amount",
    "/arguments/others/*/iban",
    "/arguments/payee/iban",
    "/evidence/after/*",
    "/evidence/before/iban",
)


def test_what_the_schema_marks_is_sensitive_and_in_the_evidence_what_is_named_alike_or_says_the_same() -> None:
    assert sensitive_places(SCHEMA, ARGUMENTS, EVIDENCE) == PLACES
    shown = masked("arguments", ARGUMENTS, PLACES)
    assert shown["payee"] == {"name": "Harbour", "iban": MASK}
    assert [other.get("iban") for other in shown["others"]] == [MASK, None]
    assert (shown["amount"], shown["note"]) == (MASK, "March")
    told = masked("evidence", EVIDENCE, PLACES)
    assert (told["before"], told["after"], told["count"]) == ({"iban": MASK}, [MASK, MASK], 3)
    assert IBAN not in repr((shown, told))
    assert ARGUMENTS["payee"]["iban"] == IBAN, "the value itself is left as it is"


def test_nothing_is_masked_where_nothing_is_sensitive() -> None:
    plain = msgspec.json.schema(Payee) | {"$defs": {"Payee": {"type": "object", "properties": {"iban": {}}}}}
    assert sensitive_places(plain, {"name": "x", "iban": IBAN}, EVIDENCE) == ()
    assert masked("arguments", ARGUMENTS, ()) is ARGUMENTS


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pin": {"format": "password"}}},
        {"properties": {"pin": {"anyOf": [{"type": "null"}, {"x-sensitive": True}]}}},
        {"allOf": [{"type": "object"}, {"properties": {"pin": {"x-sensitive": True}}}]},
        {"dependentSchemas": {"pin": {"properties": {"pin": {"x-sensitive": True}}}}},
        {"if": {}, "then": {"properties": {"pin": {"x-sensitive": True}}}},
        {
            "$ref": "#/$defs/A",
            "$defs": {"A": {"$ref": "#/$defs/A~1B"}, "A/B": {"properties": {"pin": {"x-sensitive": True}}}},
        },
    ],
)
def test_whichever_way_the_schema_says_it(schema: dict[str, Any]) -> None:
    assert sensitive_places(schema, {"pin": "8891"}, None) == ("/arguments/pin",)


def test_places_say_nothing_of_names_that_come_from_outside() -> None:
    schema = {"properties": {"by_mail": {"additionalProperties": {"x-sensitive": True}}}}
    arguments = {"by_mail": {"ann@harbour.example": "4711-0815"}}
    evidence = {"of ann@harbour.example": "was 4711-0815", "plain_name": {"bo@quay.example": "4711-0815"}}
    places = sensitive_places(schema, arguments, evidence)
    assert places == ("/arguments/by_mail/*", "/evidence/*", "/evidence/plain_name/*")
    assert "0815" not in repr((masked("arguments", arguments, places), masked("evidence", evidence, places)))
    edited = {"by_mail": {"ann@harbour.example": MASK, "cy@pier.example": "new"}}
    assert kept(edited, arguments, places) == {
        "by_mail": {"ann@harbour.example": "4711-0815", "cy@pier.example": "new"}
    }


def test_a_schema_that_refers_to_itself_is_read_to_its_end() -> None:
    twice = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}
    maze = {"$ref": "#/$defs/A", "$defs": {"A": twice}}
    assert sensitive_places(maze, {"pin": 1}, None) == ()
    tree = {"properties": {"pin": {"x-sensitive": True}, "next": {"$ref": "#"}}}
    assert sensitive_places(tree, {"next": {"next": {"pin": "8891"}}}, None) == ("/arguments/next/next/pin",)


def test_members_that_go_by_a_pattern_and_elements_of_any_kind_are_found() -> None:
    secret = {"x-sensitive": True}
    for schema in ({"patternProperties": {"^p": secret}}, {"unevaluatedProperties": secret}):
        assert sensitive_places(schema, {"pin": "8891"}, None) == ("/arguments/*",)
    for word in ("contains", "unevaluatedItems", "items"):
        assert sensitive_places({word: secret}, ["8891"], None) == ("/arguments/*",)
    by_name = {"$ref": "#pin", "$defs": {"A": {"$anchor": "pin", **secret}}}
    assert sensitive_places(by_name, {"pin": "8891"}, None) == EVERYTHING


def test_what_cannot_be_read_in_time_hides_everything() -> None:
    wide = {"$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}, "$ref": "#/$defs/A"}
    assert sensitive_places(wide, [[0.5 + number] for number in range(40_000)], {}) == EVERYTHING
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert sensitive_places(wide, deep, {}) == EVERYTHING


def test_too_many_places_are_all_of_it() -> None:
    many = {f"k{number}": "secret" for number in range(MAX_PLACES + 1)}
    schema = {"properties": {key: {"x-sensitive": True} for key in many}}
    assert sensitive_places(schema, many, {}) == EVERYTHING
    assert masked("arguments", many, ["/arguments"]) == MASK


def test_whoever_edits_what_they_do_not_see_leaves_it_as_it_is() -> None:
    shown = masked("arguments", ARGUMENTS, PLACES)
    edited = {**shown, "note": "April", "others": [*shown["others"], {"name": "New", "iban": MASK}]}
    given = kept(edited, ARGUMENTS, PLACES)
    assert (given["payee"], given["amount"], given["note"]) == (ARGUMENTS["payee"], 4711, "April")
    assert [other.get("iban") for other in given["others"]] == ["FR7630006000011234567890189", None, None]
    other = kept({**shown, "payee": {"name": MASK, "iban": "other"}}, ARGUMENTS, PLACES)
    assert other["payee"] == {"name": MASK, "iban": "other"}, "a mask means something in its place alone"
