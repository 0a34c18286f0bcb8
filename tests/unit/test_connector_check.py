"""The connector check: each way in which a tool can be incomplete has a name."""

from typing import Any

import msgspec
import pytest
from fairlead_sdk import Effect, Idempotency, Manifest
from fairlead_sdk.checks import faults_of

from tests.support.connectors import Bill, manifest, tool


class Loose(msgspec.Struct):
    number: str


class HoldsLoose(msgspec.Struct, forbid_unknown_fields=True):
    lines: list[Loose]


class Anything(msgspec.Struct, forbid_unknown_fields=True):
    data: Any


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    bill: Bill | None
    tags: dict[str, int]
    pair: tuple[int, str]
    kind: Effect


def not_async(arguments: Bill, call: object) -> Bill:
    return arguments


def codes(said: Manifest) -> set[str]:
    return {fault.code for fault in faults_of(said)}


def test_a_complete_connector_has_no_faults() -> None:
    reading = tool("bills.list", effect=Effect.READ, idempotency=Idempotency.NATURAL, writes=(), input=Strict)
    assert faults_of(manifest(tool(), reading)) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"name": "mail.send"}, "tool_name"),
        ({"name": "bills.Pay"}, "tool_name"),
        ({"name": "bills.pay__now"}, "tool_name"),
        ({"name": "bills." + "x" * 128}, "tool_name"),
        ({"title": " "}, "title"),
        ({"description": ""}, "description"),
        ({"timeout_s": 0}, "timeout"),
        ({"timeout_s": 601}, "timeout"),
        ({"timeout_s": float("nan")}, "timeout"),
        ({"timeout_s": None}, "timeout"),
        ({"calls_per_minute": 0}, "rate_limit"),
        ({"scopes": ("",)}, "scopes"),
        ({"run": not_async}, "not_async"),
        ({"verify": not_async}, "not_async"),
        ({"effect": "write"}, "effect"),
        ({"idempotency": "key"}, "idempotency"),
        ({"writes": ()}, "undeclared_write"),
        ({"writes": (), "effect": Effect.DESTRUCTIVE}, "undeclared_write"),
        ({"effect": Effect.READ}, "read_writes"),
        ({"effect": Effect.READ, "writes": (), "idempotency": Idempotency.NONE}, "read_not_repeatable"),
        ({"writes": ("Payment!",)}, "record_kind"),
        ({"input": Loose}, "loose_schema"),
        ({"output": HoldsLoose}, "loose_schema"),
        ({"input": Anything}, "loose_schema"),
    ],
)
def test_an_incomplete_tool_is_refused_by_name(wrong: dict[str, Any], code: str) -> None:
    faults = faults_of(manifest(tool(**wrong)))
    assert code in {fault.code for fault in faults}
    assert {fault.where for fault in faults} == {wrong.get("name", "bills.pay")}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"name": "Bills"}, "name"),
        ({"title": ""}, "title"),
        ({"version": "1.2"}, "version"),
        ({"version": "01.2.3"}, "version"),
        ({"tools": ()}, "no_tools"),
        ({"tools": (tool(), tool())}, "repeated_tool"),
    ],
)
def test_a_manifest_says_who_it_is(wrong: dict[str, Any], code: str) -> None:
    assert code in codes(manifest(**wrong))


def test_every_fault_is_reported_at_once() -> None:
    assert codes(manifest(tool(description="", timeout_s=0, writes=()), version="x")) == {
        "description",
        "timeout",
        "undeclared_write",
        "version",
    }


def test_a_fault_says_where_the_schema_is_loose() -> None:
    (fault,) = faults_of(manifest(tool(output=HoldsLoose)))
    assert str(fault) == (
        "bills.pay: output/$defs/Loose allows unknown fields: say forbid_unknown_fields=True (loose_schema)"
    )
