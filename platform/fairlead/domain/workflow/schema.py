"""The document's JSON Schema, for editors and for finding every fault of shape at once. It follows from the Structs."""

from functools import cache
from typing import Any

import msgspec

from fairlead.domain.workflow.document import STEP_KINDS, Workflow

SCHEMA_ID = "urn:fairlead:workflow:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
STEPS_AND_PLANNER = {
    "if": {"properties": {"planner": {"const": "steps"}}},
    "then": {"required": ["steps"], "properties": {"agent": False, "routes": False}},
    "else": {
        "if": {"properties": {"planner": {"const": "outside"}}},
        "then": {"properties": {"steps": False, "result": False, "agent": False}},
        "else": {
            "if": {"properties": {"planner": {"const": "model"}}},
            "then": {"required": ["agent"], "properties": {"routes": False}},
        },
    },
}
_STEP = {"$ref": "#/$defs/Step"}


@cache
def document_schema() -> dict[str, Any]:
    """JSON Schema 2020-12. Treat as read-only: there is one."""
    (root,), components = msgspec.json.schema_components([Workflow], ref_template="#/$defs/{name}")
    definitions = {name: without_nulls(schema) for name, schema in sorted(components.items())}
    for kind in STEP_KINDS:
        _without_kind(definitions[f"{kind.capitalize()}Step"])
    definitions["Step"] = _step_by_kind()
    definitions["Wait"]["oneOf"] = [{"required": [key]} for key in ("signal", "seconds", "until")]
    definitions["ModelAsk"]["allOf"] = [
        {"oneOf": [{"required": [key]} for key in keys]} for keys in (("route", "use"), ("prompt", "messages"))
    ]
    definitions["Wait"]["dependentRequired"] = {"timeout_s": ["signal"], "on_timeout": ["timeout_s"]}
    definitions["Ask"]["dependentRequired"] = {"on_timeout": ["timeout_s"]}
    definitions["Workflow"] |= STEPS_AND_PLANNER
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **root, "$defs": definitions}


def without_nulls(schema: Any) -> Any:
    """What the Structs say, in terms of the document: steps without a kind, left out rather than null."""
    if isinstance(schema, list):
        return [without_nulls(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "discriminator" in schema:
        return _STEP
    rest = {key: without_nulls(value) for key, value in schema.items() if (key, value) != ("default", None)}
    choices = [choice for choice in rest.pop("anyOf", ()) if choice != {"type": "null"}]
    match choices:
        case []:
            return rest
        case [only]:
            return {**only, **rest}
    word, block = sorted(choices, key=lambda choice: choice.get("type") == "array")
    return {"if": {"type": "array"}, "then": block, "else": word, **rest}


def _without_kind(step: dict[str, Any]) -> None:
    del step["properties"]["kind"]
    step["required"].remove("kind")


def _step_by_kind() -> dict[str, Any]:
    """A chain of ifs and not `oneOf`: an editor then reports the faults within the step, not that no kind fits."""
    chain: dict[str, Any] = {"anyOf": [{"required": [kind]} for kind in STEP_KINDS]}
    for kind in reversed(STEP_KINDS):
        fits = {"$ref": f"#/$defs/{kind.capitalize()}Step"}
        chain = {"if": {"required": [kind]}, "then": fits, "else": chain}
    return {"type": "object", "required": ["id"], **chain}
