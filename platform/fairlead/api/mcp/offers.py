"""What a client is shown: the tools of its workflow under names that every model takes, and three of the door's own."""

from collections.abc import Mapping
from typing import Any

from fairlead_sdk.contract import Effect, Idempotency

from fairlead.domain.models.naming import WireNames
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.document import Workflow

AWAIT, FINISH, GIVE_UP = "fairlead_await", "fairlead_finish", "fairlead_give_up"
OWN = (AWAIT, FINISH, GIVE_UP)
MAX_AWAIT_S = 25.0
_HEADER_ANNOTATION = "x-mcp-header"  # values of arguments are not asked for a second time in headers
_HINTS_OF_OWN = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}

Schema = dict[str, Any]


def names_of(rules: WorkflowRules) -> WireNames:
    return WireNames([*rules.workflow.tools, *OWN])


def listed(rules: WorkflowRules) -> list[dict[str, Any]]:
    """Exactly what the workflow may call, as it is installed now."""
    names = names_of(rules)
    known = [facts for name in rules.workflow.tools if (facts := rules.tool(name)) is not None]
    return [*(_shown(facts, names) for facts in known), *_own(rules.workflow)]


def _shown(facts: ToolFacts, names: WireNames) -> dict[str, Any]:
    """No output schema: what is redacted, or only shown, need not fit the one of the tool."""
    return {
        "name": names.on_wire(facts.name),
        "title": facts.title,
        "description": facts.description,
        "inputSchema": object_schema(facts.input_schema),
        "annotations": {
            "title": facts.title,
            "readOnlyHint": facts.effect is Effect.READ,
            "destructiveHint": facts.effect is Effect.DESTRUCTIVE,
            "idempotentHint": facts.idempotency is not Idempotency.NONE,
            "openWorldHint": True,
        },
    }


def object_schema(schema: Mapping[str, Any]) -> Schema:
    """The same, with `type: object` at its root, which the protocol asks for and many clients rely on."""
    definitions = schema.get("$defs", {})
    root = dict(schema)
    while isinstance(ref := root.get("$ref"), str) and (found := definitions.get(ref.removeprefix("#/$defs/"))):
        root = {**found, **{key: value for key, value in root.items() if key != "$ref"}}
    plain: Schema = _without_annotations({"type": "object", **root})
    return plain


def _without_annotations(schema: Any) -> Any:
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if key != _HEADER_ANNOTATION or isinstance(value, dict)}
        return {key: _without_annotations(value) for key, value in kept.items()}
    return [_without_annotations(each) for each in schema] if isinstance(schema, list) else schema


def _own(workflow: Workflow) -> list[dict[str, Any]]:
    output, definitions = _within(workflow.output)
    waiting = {
        "call_id": {"type": "string", "maxLength": 100, "description": "As the answer that says `waiting` has it."},
        "wait_s": {"type": "number", "minimum": 0, "maximum": MAX_AWAIT_S},
    }
    return [
        _one(AWAIT, "Wait for a call that is not over, as while people are asked.", waiting, ["call_id"]),
        _one(FINISH, f"Say that it is done: {workflow.done_when[0]}", {"output": output}, ["output"], definitions),
        _one(
            GIVE_UP,
            "Say that it cannot be done. What was done is undone where that is possible.",
            {"reason": {"type": "string", "minLength": 1, "maxLength": 2_000}},
            ["reason"],
        ),
    ]


def _one(
    name: str, description: str, properties: Schema, required: list[str], definitions: Schema | None = None
) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if definitions:
        schema["$defs"] = definitions
    hints = _HINTS_OF_OWN | {"readOnlyHint": name == AWAIT}
    return {"name": name, "description": description, "inputSchema": schema, "annotations": hints}


def _within(schema: Schema) -> tuple[Schema, Schema]:
    """A schema as it can stand inside another: its definitions apart. One whose references lead elsewhere is any."""
    if any(not ref.startswith("#/$defs/") for ref in _references(schema)):
        return {}, {}
    return {key: value for key, value in schema.items() if key not in ("$defs", "$schema")}, schema.get("$defs", {})


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [ref for each in schema for ref in _references(each)]
    if not isinstance(schema, dict):
        return []
    own = [value for key, value in schema.items() if key in ("$ref", "$dynamicRef") and isinstance(value, str)]
    return own + [ref for value in schema.values() for ref in _references(value)]


def instructions(workflow: Workflow) -> str:
    """What a model should know of the task that it is given these tools for."""
    lines = [
        workflow.goal,
        *(f"Done when: {each}" for each in workflow.done_when),
        *(f"Give up when: {each}" for each in workflow.fail_when),
        *(f"Not your task: {each}" for each in workflow.out_of_scope),
        f"Each call is checked against policy. An answer that says `waiting` has a call_id: wait for it with {AWAIT}.",
        f"Do not make the same call again. End with {FINISH}, or with {GIVE_UP} when it cannot be done.",
    ]
    return "\n".join(lines)
