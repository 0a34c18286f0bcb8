"""Imported sets of tools: versions that never change, and what of a set is not taken."""

from typing import Any

import msgspec
import pytest
from fairlead_sdk import Auth, AuthKind, Effect, Idempotency
from fairlead_sdk.importing import Import, ImportedTool, LeftOut, ToolSet
from fairlead_tenants.ids import TenantId
from msgspec.structs import replace

from fairlead.domain import toolsets
from fairlead.domain.toolset_checks import MAX_TOOLS, checked
from fairlead.domain.toolsets import (
    MAX_VERSIONS,
    DefineToolset,
    Imported,
    ImportToolset,
    ToolsetImported,
    TooManyVersions,
    definition_of,
    definition_stream,
)

READ = ImportedTool(
    name="crm.list_things",
    title="List things",
    description="GET /things",
    input={"type": "object", "properties": {}, "additionalProperties": False},
    output={"$ref": "#/$defs/Thing"},
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    recipe={"method": "GET"},
)
SET = ToolSet(name="crm", title="CRM", tools=(READ,), definitions={"Thing": {"type": "object"}})


def importing(definition_sha256: str = "a", **fields: Any) -> ImportToolset:
    said: dict[str, Any] = {
        "name": "crm",
        "title": "CRM",
        "importer": "http",
        "importer_version": "1.0.0",
        "source_sha256": "s",
        "hints": {},
        "tools_by_effect": {Effect.READ: 1},
        "left_out": 0,
        "reason": "wanted",
    }
    return ImportToolset(definition_sha256=definition_sha256, **{**said, **fields})


def after(*commands: ImportToolset | DefineToolset) -> Any:
    state = toolsets.initial()
    for command in commands:
        for event in toolsets.decide(command, state):
            state = toolsets.evolve(state, event)
    return state


def test_an_import_is_the_first_version_and_other_tools_are_the_next() -> None:
    assert after(importing()) == Imported(version=1, importer="http", definition_sha256="a")
    assert after(importing(), importing("b")) == Imported(version=2, importer="http", definition_sha256="b")
    assert after(importing(), importing("b"), importing()) == Imported(
        version=3, importer="http", definition_sha256="a"
    )


def test_the_same_tools_are_no_new_version_whatever_else_the_description_says() -> None:
    assert toolsets.decide(importing(source_sha256="other", reason="again"), after(importing())) == []
    assert toolsets.decide(importing(importer="mcp"), after(importing())) != []


def test_a_set_has_a_bound_of_versions() -> None:
    full = Imported(version=MAX_VERSIONS - 1, importer="http", definition_sha256="a")
    (event,) = toolsets.decide(importing("b"), full)
    assert isinstance(event, ToolsetImported)
    with pytest.raises(TooManyVersions):
        toolsets.decide(importing("c"), toolsets.evolve(full, event))


def test_a_content_is_written_once_and_its_stream_follows_from_it() -> None:
    definition, sha256 = definition_of(SET)
    define = DefineToolset(name="crm", sha256=sha256, definition=definition)
    assert toolsets.decide(define, after(define)) == []
    assert definition_stream(TenantId("tnt_1"), "crm", sha256).id == f"crm-{sha256[:32]}"
    assert msgspec.convert(definition, ToolSet) == SET
    assert definition_of(replace(SET, title="other"))[1] != sha256


def result(tool_set: ToolSet) -> Import:
    return checked(Import(tool_set=tool_set, left_out=(LeftOut("GET /x", "", "method", "no"),)))


def test_a_set_that_is_in_order_is_taken_whole() -> None:
    assert result(SET).tool_set == SET
    assert [left.operation for left in result(SET).left_out] == ["GET /x"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": "other.list_things"}, "tool_name"),
        ({"name": "crm.List"}, "tool_name"),
        ({"name": "crm."}, "tool_name"),
        ({"name": "crm." + "a" * 125}, "tool_name"),
        ({"title": " "}, "description"),
        ({"description": ""}, "description"),
        ({"timeout_s": 0.0}, "timeout"),
        ({"timeout_s": 601.0}, "timeout"),
        ({"timeout_s": float("nan")}, "timeout"),
        ({"writes": ("crm.thing",)}, "writes"),
        ({"effect": Effect.WRITE}, "writes"),
        ({"effect": Effect.WRITE, "writes": ("Thing!",)}, "writes"),
        ({"input": {"type": "sausage"}}, "schema_unusable"),
        ({"input": {"$ref": "https://elsewhere.example/schema.json"}}, "schema_unusable"),
        ({"input": {"$ref": "file:///etc/passwd"}}, "schema_unusable"),
        ({"output": {"type": "string", "pattern": "("}}, "schema_unusable"),
        ({"output": {"type": "string", "pattern": "(?=a)"}}, "schema_unusable"),
    ],
)
def test_a_tool_that_breaks_a_rule_is_left_out_and_the_others_are_taken(changed: dict[str, Any], code: str) -> None:
    fine = replace(READ, name="crm.fine")
    found = result(replace(SET, tools=(replace(READ, **changed), fine)))
    assert found.tool_set is not None
    assert found.tool_set.tools == (fine,)
    assert [left.code for left in found.left_out] == ["method", code]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"tools": ()}, "number_of_tools"),
        ({"tools": tuple(replace(READ, name=f"crm.t{number}") for number in range(MAX_TOOLS + 1))}, "number_of_tools"),
        ({"tools": (READ, READ)}, "repeated_tool"),
        ({"egress": ("*.com",)}, "egress"),
        ({"egress": ("{base_url}",)}, "unknown_field"),
        ({"auth": Auth(kind=AuthKind.API_KEY)}, "egress"),
        ({"auth": Auth(kind=AuthKind.API_KEY, handed_over=True), "egress": ("a.example",)}, "handed_over"),
    ],
)
def test_a_set_that_breaks_a_rule_is_not_taken(changed: dict[str, Any], code: str) -> None:
    found = result(replace(SET, **changed))
    assert found.tool_set is None
    assert code in [problem.code for problem in found.problems]
