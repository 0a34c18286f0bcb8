"""Descriptions of services: a small one to change, and one of any size in the style of public ones."""

import json
from typing import Any

from fairlead_sdk.importing import Import, ImportedTool

from fairlead_http.importing import read

Document = dict[str, Any]


def imported(document: Document, hints: dict[str, Any] | None = None, name: str = "crm") -> Import:
    return read(name, json.dumps(document).encode(), hints or {})


def tools(document: Document, hints: dict[str, Any] | None = None) -> dict[str, ImportedTool]:
    """By name without the set's. Nothing may have gone wrong."""
    result = imported(document, hints)
    assert result.tool_set is not None, result.problems
    assert not result.left_out
    return {tool.name.partition(".")[2]: tool for tool in result.tool_set.tools}


def described(paths: Document, **more: Any) -> Document:
    return {
        "openapi": "3.1.0",
        "info": {"title": "CRM", "version": "7"},
        "servers": [{"url": "https://crm.example.com/api"}],
        "paths": paths,
        **more,
    }


def one(operation: Document, method: str = "post", path: str = "/things", **more: Any) -> Document:
    return described({path: {method: {"responses": {"200": {"description": "done"}}, **operation}}}, **more)


def takes(schema: Any, **more: Any) -> Document:
    """An operation whose body is of this schema."""
    content = {"application/json": {"schema": schema}}
    return one({"operationId": "makeThing", "requestBody": {"required": True, "content": content}}, **more)


def gives(schema: Any, media_type: str = "application/json", **more: Any) -> Document:
    responses = {"200": {"description": "found", "content": {media_type: {"schema": schema}}}}
    return one({"operationId": "readThing", "responses": responses}, "get", **more)


def public_style(operations: int) -> Document:
    """Resources with lists, filters, bodies, shared and nested schemas, errors and scopes, as public services have."""
    resources = -(-operations // 5)
    document = described({}, openapi="3.0.3", security=[{"oauth": ["read"]}])
    document["components"] = {
        "securitySchemes": {"oauth": _OAUTH},
        "parameters": {"PageSize": {"name": "per_page", "in": "query", "schema": {"type": "integer", "maximum": 100}}},
        "responses": {"Error": {"description": "no", "content": _json({"$ref": "#/components/schemas/Error"})}},
        "schemas": {"Error": _object(code=_TEXT, message=_TEXT, details=_list(_object(field=_TEXT)))},
    }
    for number in range(resources):
        document["components"]["schemas"] |= _schemas(number, resources)
        document["paths"] |= _paths(number)
    return document


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


def _object(**fields: Any) -> Document:
    return {"type": "object", "properties": fields, "required": list(fields)[:1]}


def _list(items: Any) -> Document:
    return {"type": "array", "items": items}


def _json(schema: Any) -> Document:
    return {"application/json": {"schema": schema}}


def _schemas(number: int, resources: int) -> Document:
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


def _paths(number: int) -> Document:
    thing = {"$ref": f"#/components/schemas/Thing{number}"}
    error = {"$ref": "#/components/responses/Error"}
    by_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    filters = [{"name": f"filter[{each}]", "in": "query", "schema": _TEXT} for each in ("state", "owner")]
    answers = {"200": {"description": "found", "content": _json(thing)}, "404": error}
    write = [{"oauth": ["write"]}]
    body = {"required": True, "content": _json(thing)}

    def operation(verb: str, **more: Any) -> Document:
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
