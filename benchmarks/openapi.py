"""How long it takes to import a description of 1,000 operations, as a request does it: read, checked, made plain."""

import gc
import json
import time
from typing import Any

import msgspec
from fairlead_sdk.importing import Import

from fairlead.domain.toolset_checks import checked
from fairlead.domain.toolsets import definition_of
from fairlead_http.importing import read

OPERATIONS = 1_000
TIMES = 5

Description = dict[str, Any]


def measure() -> dict[str, Any]:
    """The fastest of a few: another process only ever adds to it."""
    description = json.dumps(public_style(OPERATIONS)).encode()
    found = [_once(description) for _ in range(TIMES)]
    seconds, size_bytes = min(found)
    return {
        "operations": OPERATIONS,
        "description_kb": len(description) // 1024,
        "kept_kb": size_bytes // 1024,
        "import_s": round(seconds, 3),
    }


def _once(description: bytes) -> tuple[float, int]:
    gc.collect()
    began = time.perf_counter()
    result: Import = checked(read("service", description, {}))
    assert result.tool_set is not None, result.problems
    definition, _ = definition_of(result.tool_set)
    seconds = time.perf_counter() - began
    assert len(result.tool_set.tools) == OPERATIONS
    return seconds, len(msgspec.json.encode(definition))


def public_style(operations: int) -> Description:
    """Resources with lists, filters, bodies, shared and nested schemas, errors and scopes, as public services have."""
    resources = -(-operations // 5)
    description: Description = {
        "openapi": "3.0.3",
        "info": {"title": "Things", "version": "7"},
        "servers": [{"url": "https://crm.example.com/api"}],
        "security": [{"oauth": ["read"]}],
        "paths": {},
    }
    description["components"] = {
        "securitySchemes": {"oauth": _OAUTH},
        "parameters": {"PageSize": {"name": "per_page", "in": "query", "schema": {"type": "integer", "maximum": 100}}},
        "responses": {"Error": {"description": "no", "content": _json({"$ref": "#/components/schemas/Error"})}},
        "schemas": {"Error": _object(code=_TEXT, message=_TEXT, details=_list(_object(field=_TEXT)))},
    }
    for number in range(resources):
        description["components"]["schemas"] |= _schemas(number, resources)
        description["paths"] |= _paths(number)
    return description


_TEXT = {"type": "string", "description": "Some text that says what the field is for, in a sentence of its own."}
_OAUTH = {
    "type": "oauth2",
    "flows": {
        "authorizationCode": {
            "authorizationUrl": "https://crm.example.com/authorize",
            "tokenUrl": "https://crm.example.com/token",
            "scopes": {"read": "See things", "write": "Change things"},
        }
    },
}


def _object(**fields: Any) -> Description:
    return {"type": "object", "properties": fields, "required": list(fields)[:1]}


def _list(items: Any) -> Description:
    return {"type": "array", "items": items}


def _json(schema: Any) -> Description:
    return {"application/json": {"schema": schema}}


def _schemas(number: int, resources: int) -> Description:
    """Each thing knows its owner and the next thing, in a circle of at most twenty."""
    first = number - number % 20
    neighbour = first + (number + 1 - first) % min(20, resources - first)
    fields = {f"field_{each}": {**_TEXT, "nullable": each % 3 == 0, "maxLength": 200} for each in range(12)}
    thing = _object(
        id={"type": "string", "readOnly": True},
        **fields,
        owner=_object(id=_TEXT, name=_TEXT),
        next={"nullable": True, "allOf": [{"$ref": f"#/components/schemas/Thing{neighbour}"}]},
        state={"type": "string", "enum": ["new", "open", "done"]},
    )
    return {f"Thing{number}": thing}


def _paths(number: int) -> Description:
    thing = {"$ref": f"#/components/schemas/Thing{number}"}
    error = {"$ref": "#/components/responses/Error"}
    by_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    filters = [{"name": f"filter[{each}]", "in": "query", "schema": _TEXT} for each in ("state", "owner")]
    answers = {"200": {"description": "found", "content": _json(thing)}, "404": error}
    write = [{"oauth": ["write"]}]
    body = {"required": True, "content": _json(thing)}

    def operation(verb: str, **more: Any) -> Description:
        return {"operationId": f"things{number}/{verb}", "tags": [f"things{number}"], "responses": answers, **more}

    listed = {"200": {"description": "found", "headers": {"Link": {}}, "content": _json(_list(thing))}, "400": error}
    page_size = {"$ref": "#/components/parameters/PageSize"}
    return {
        f"/things{number}": {
            "get": operation("list", parameters=[*filters, page_size], responses=listed),
            "post": operation("create", requestBody=body, security=write),
        },
        f"/things{number}/{{id}}": {
            "parameters": [by_id],
            "get": operation("get"),
            "patch": operation("update", requestBody=body, security=write),
            "delete": operation("delete", security=write, responses={"204": {"description": "gone"}}),
        },
    }
