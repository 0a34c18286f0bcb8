"""Descriptions of services: small ones to change, and what becomes of them."""

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
