"""The published schema: as the code has it, and agreeing with the Structs."""

import json
from pathlib import Path

import jsonschema_rs
import msgspec

from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.schema import document_schema
from fairlead.domain.workflow.shape import shape_problems
from tests.support.documents import ask, call, document, each, end, parallel

PUBLISHED = Path(__file__).parents[3] / "docs" / "reference" / "workflow.schema.json"


def test_the_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text() == json.dumps(document_schema(), indent=2) + "\n"


def test_it_is_a_schema() -> None:
    assert jsonschema_rs.meta.is_valid(document_schema())


def test_no_part_of_it_shows_how_steps_are_held_in_memory() -> None:
    assert '"kind"' not in json.dumps({**document_schema()["$defs"], "Trigger": None})
    assert "null" not in json.dumps({**document_schema()["$defs"]})


def test_every_construct_fits() -> None:
    data = document(
        call("a", **{"with": {"x": 1}, "retry": {"on": ["timeout"]}, "timeout_s": 2, "continue": True}),
        {"id": "b", "if": "${true}", "then": [], "else": [call("c")]},
        parallel("d", left=[call("e")], right=[]),
        each("f", call("g"), **{"as": "line", "concurrency": 2}),
        ask("h", roles=["reviewer"], schema={"type": "boolean"}, timeout_s=60, on_timeout=[end("i", "failed")]),
        {"id": "j", "wait": {"signal": "paid", "timeout_s": 5, "on_timeout": "fail"}},
        {"id": "k", "wait": {"until": "${input.at}"}},
        limits={"tool_calls": 3, "on_limit": "ask"},
        result={"x": 1},
    )
    assert list(shape_problems(data)) == []


def test_it_names_every_field_of_the_document() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(Workflow)}
    assert set(document_schema()["$defs"]["Workflow"]["properties"]) == fields
