"""The connector check: each way in which a tool can be incomplete has a name."""

from typing import Any

import msgspec
import pytest
from fairlead_sdk import (
    Access,
    Auth,
    AuthKind,
    Call,
    ConfigField,
    Effect,
    Idempotency,
    JsonSchema,
    Manifest,
    OAuthGrant,
    OAuthServer,
    Scope,
)
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


async def undo(arguments: Bill, output: Bill, call: Call) -> None:
    return None


async def without_call(arguments: Bill) -> Bill:
    return arguments


async def many(arguments: list[Bill], calls: list[Call]) -> list[Bill | Exception]:
    return [*arguments]


def schema(**said: Any) -> JsonSchema:
    return JsonSchema({"type": "object", "properties": {}, "additionalProperties": False} | said)


READ: dict[str, Any] = {"effect": Effect.READ, "idempotency": Idempotency.NATURAL, "writes": ()}
SCOPES = (
    Scope(name="bills.read", access=Access.READ, title="Look into bills"),
    Scope(name="bills.write", access=Access.WRITE, title="Pay bills"),
)
OAUTH = Auth(kind=AuthKind.OAUTH2, oauth=OAuthServer(issuer="https://login.example.com/{account}"))
COMPLETE: dict[str, Any] = {
    "auth": OAUTH,
    "scopes": SCOPES,
    "egress": ("api.example.com", "*.files.example.com:8443", "{base_url}", "{account}.example.com"),
    "config": (ConfigField(name="base_url", title="Address"), ConfigField(name="account", title="Account")),
    "calls_per_minute": 60,
    "max_concurrent": 4,
}


def oauth(**server: Any) -> Auth:
    return Auth(kind=AuthKind.OAUTH2, oauth=OAuthServer(**server))


def codes(said: Manifest) -> set[str]:
    return {fault.code for fault in faults_of(said)}


def test_a_complete_connector_has_no_faults() -> None:
    reading = tool("bills.list", effect=Effect.READ, idempotency=Idempotency.NATURAL, writes=(), input=Strict)
    assert faults_of(manifest(tool(), reading)) == []


def test_a_connector_that_uses_all_of_the_contract_has_no_faults() -> None:
    pay = tool(scopes=("bills.write",), compensate=undo, run_many=many, max_batch=10, max_concurrent=1)
    look = tool("bills.list", scopes=("bills.read",), cache_s=60, **READ)
    imported = tool("bills.find", scopes=("bills.read",), **(READ | {"input": schema(), "output": schema()}))
    assert faults_of(manifest(pay, look, imported, **COMPLETE)) == []


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
        ({"scopes": ("bills.write",)}, "undeclared_scope"),
        ({"max_concurrent": 0}, "concurrency"),
        ({"cost_usd_micros": -1}, "cost"),
        ({"cache_s": 60}, "cached_write"),
        ({"cache_s": -1}, "cache"),
        ({"cache_s": 604_801}, "cache"),
        ({**READ, "compensate": undo}, "compensated_read"),
        ({"compensate": not_async}, "not_async"),
        ({"run": without_call}, "parameters"),
        ({"compensate": without_call}, "parameters"),
        ({"max_batch": 0}, "batch"),
        ({"max_batch": 1_001, "run_many": many}, "batch"),
        ({"max_batch": 2}, "batch"),
        ({"run_many": many}, "batch"),
        ({"input": int}, "not_an_object"),
        ({"input": schema(type="array", items={"type": "string"})}, "not_an_object"),
        ({"input": schema(additionalProperties=True)}, "loose_schema"),
        ({"output": JsonSchema({"type": "object"})}, "loose_schema"),
        ({"input": schema(properties={"tags": {"type": "array"}})}, "loose_schema"),
        ({"input": schema(properties={"tags": {"type": ["object", "null"]}})}, "loose_schema"),
        ({"input": schema(properties={"any": True})}, "loose_schema"),
        ({"input": JsonSchema({"type": "objekt"})}, "not_a_schema"),
        ({"input": JsonSchema([])}, "not_a_schema"),  # type: ignore[arg-type]  # what the check is for
        ({"input": schema(**{"$schema": "http://json-schema.org/draft-07/schema#"})}, "not_a_schema"),
        ({"input": schema(properties={"a": {"$ref": "https://schemas.example/a.json"}})}, "not_a_schema"),
        ({"input": schema(properties={"a": {"$ref": "#/$defs/none"}})}, "not_a_schema"),
        ({"input": schema(**{"$id": "https://schemas.example/b.json"})}, "not_a_schema"),
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
        ({"calls_per_minute": 0}, "rate_limit"),
        ({"max_concurrent": 0}, "concurrency"),
        ({"auth": Auth(kind="oauth2")}, "auth"),  # type: ignore[arg-type]  # what the check is for
        ({"auth": Auth(kind=AuthKind.OAUTH2)}, "auth"),
        ({"auth": Auth(kind=AuthKind.BASIC, oauth=OAuthServer(issuer="https://login.example.com"))}, "auth"),
        ({"auth": Auth(kind=AuthKind.API_KEY, header="X Key")}, "auth"),
        ({"auth": Auth(kind=AuthKind.API_KEY, prefix="Key\r\n")}, "auth"),
        ({"auth": oauth(issuer="https://login.example.com", grants=())}, "auth"),
        ({"auth": oauth(token_url="https://login.example.com/token")}, "auth"),
        ({"auth": oauth(token_url="https://x.example", grants=(OAuthGrant.DEVICE_CODE,))}, "auth"),
        ({"auth": oauth(issuer="http://login.example.com")}, "auth"),
        ({"auth": oauth(issuer="https://user:password@login.example.com")}, "auth"),
        ({"auth": oauth(issuer="https://{tenant}.example.com")}, "unknown_field"),
        ({"auth": OAUTH, "egress": ()}, "egress"),
        ({"auth": Auth(kind=AuthKind.BASIC, handed_over=True)}, "handed_over"),
        ({"auth": Auth(kind=AuthKind.NONE, handed_over=True)}, "handed_over"),
        ({"scopes": (*SCOPES, SCOPES[0])}, "scopes"),
        ({"scopes": (Scope(name="a b", access=Access.READ, title="Both"),)}, "scopes"),
        ({"scopes": (Scope(name="a", access=Access.READ, title=""),)}, "scopes"),
        ({"scopes": (Scope(name="a", access="all", title="All"),)}, "scopes"),  # type: ignore[arg-type]  # likewise
        ({"tools": (tool(scopes=("bills.read",)),), "scopes": SCOPES}, "write_without_scope"),
        ({"tools": (tool(),), "scopes": SCOPES}, "write_without_scope"),
        ({"egress": ("{base_url}",)}, "unknown_field"),
        ({"config": (ConfigField(name="Base", title="Address"),)}, "config"),
        ({"config": (ConfigField(name="base", title=" "),)}, "config"),
        ({"config": (ConfigField(name="base", title="A"), ConfigField(name="base", title="B"))}, "config"),
    ],
)
def test_a_manifest_says_who_it_is(wrong: dict[str, Any], code: str) -> None:
    assert code in codes(manifest(**wrong))


@pytest.mark.parametrize(
    "entry",
    [
        "https://api.example.com",
        "api.example.com/v1",
        "API.example.com",
        "*.com",
        "*",
        "a.*.example.com",
        "-a.example.com",
        "example.com:0",
        "example.com:65536",
        "user@example.com",
        "{Base}.example.com",
        "*.{base_url}",
        "",
        ".example.com",
        "a" * 64 + ".example.com",
    ],
)
def test_a_host_that_could_be_misread_is_refused(entry: str) -> None:
    assert "egress" in codes(manifest(egress=(entry,), config=COMPLETE["config"]))


def test_what_ships_with_the_platform_may_be_handed_credentials() -> None:
    said = manifest(auth=Auth(kind=AuthKind.BASIC, handed_over=True))
    assert faults_of(said, shipped=True) == []


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
