"""Operations that take back what another did, as whoever imports a service says; and answers that bear a tag."""

import json
from typing import Any

import pytest
from fairlead_sdk import Call, Refused
from fairlead_sdk.importing import ToolSet
from fairlead_sdk.outbound import HttpAnswer

from fairlead_http.calling import tool_of
from tests.support.openapi import described, imported

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
MADE = {"type": "object", "properties": {"id": {"type": "string"}}}
BODY = {"required": True, "content": {"application/json": {"schema": MADE}}}
JSON = {"content-type": "application/json"}
DELETE = {"operation": "DELETE /things/{id}", "arguments": {"id": "{output.body.id}"}}
SCHEMES = {"o": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://a.example/t", "scopes": {}}}}}


def answers(**headers: Any) -> dict[str, Any]:
    return {"200": {"description": "done", "headers": headers, "content": {"application/json": {"schema": MADE}}}}


THINGS = described(
    {
        "/things": {
            "post": {
                "operationId": "make",
                "requestBody": BODY,
                "responses": answers(),
                "security": [{"o": ["things.make"]}],
            }
        },
        "/things/{id}": {
            "parameters": [ID],
            "get": {"operationId": "look", "responses": answers(ETag={"schema": {"type": "string"}})},
            "patch": {"operationId": "change", "requestBody": BODY, "responses": answers()},
            "delete": {"operationId": "drop", "responses": {}, "security": [{"o": ["things.drop"]}]},
        },
    },
    components={"securitySchemes": SCHEMES},
)


class Service:
    def __init__(self, status: int, **headers: str) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self._answer = HttpAnswer(status=status, headers={**JSON, **headers}, body=b'{"id": "7"}')

    async def send(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> HttpAnswer:
        self.asked.append((method, url, body))
        return self._answer


def set_with(undo: Any, of: str = "make", **operations: Any) -> ToolSet:
    result = imported(THINGS, {"operations": {of: {"undo": undo}, **operations}})
    assert result.tool_set is not None, result.problems
    return result.tool_set


async def undone(tool_set: ToolSet, output: Any, status: int = 204) -> list[tuple[str, str, bytes]]:
    tool = tool_of(tool_set, next(each for each in tool_set.tools if each.name == "crm.make"))
    assert tool.compensate is not None
    service = Service(status)
    call = Call(call_id="tcl_1", attempt=1, idempotency_key="undo", settings={}, http=service)
    await tool.compensate({"body": {"id": "7", "name": "x"}}, output, call)
    return service.asked


async def test_what_was_made_is_taken_back_by_the_operation_that_was_named() -> None:
    tool_set, output = set_with(DELETE), {"status": 201, "body": {"id": "7"}}
    assert await undone(tool_set, output) == [("DELETE", "https://crm.example.com/api/things/7", b"")]
    assert await undone(tool_set, output, 404), "what is gone is taken back"
    with pytest.raises(Refused):
        await undone(tool_set, output, 409)
    with pytest.raises(Refused, match="does not say"):
        await undone(tool_set, {"status": 201, "body": None})


async def test_arguments_of_the_call_are_given_again_with_what_was_said_beside_them() -> None:
    undo = {
        "operation": "change",
        "arguments": {"id": "{output.body.id}", "body": {"id": "{input.body.name}"}},
    }
    [(method, _, body)] = await undone(set_with(undo, change={"idempotency": "natural"}), {"body": {"id": "7"}})
    assert (method, json.loads(body)) == ("PATCH", {"id": "x"})


def test_a_tool_that_can_be_undone_needs_what_its_undoing_needs() -> None:
    [make] = [tool for tool in set_with(DELETE).tools if tool.name == "crm.make"]
    assert make.scopes == ("things.make", "things.drop")


@pytest.mark.parametrize(
    ("undo", "of", "why"),
    [
        ({"operation": "nobody"}, "make", "no imported operation"),
        ({"operation": "look", "arguments": {"id": "7"}}, "make", "a read"),
        ({"operation": "drop", "arguments": {"id": "7"}}, "look", "a read"),
        ({"operation": "change", "arguments": {"id": "7", "body": {}}}, "make", "harmless"),
        ({"operation": "drop"}, "make", "needs id"),
        ({"operation": "drop", "arguments": {"id": "7", "name": "x"}}, "make", "takes no name"),
        ({"operation": "drop", "arguments": {"id": "{outptu.id}"}}, "make", "in braces"),
        ({"operation": "drop", "arguments": {"id": ["{output}"]}}, "make", "in braces"),
    ],
)
def test_an_undoing_that_cannot_be_is_refused_with_its_place(undo: Any, of: str, why: str) -> None:
    result = imported(THINGS, {"operations": {of: {"undo": undo}}})
    assert result.tool_set is None
    [problem] = result.problems
    assert (problem.path, problem.code) == (f"/hints/operations/{of}/undo", "bad_hints")
    assert why in problem.message


@pytest.mark.parametrize(
    ("status", "headers", "output"),
    [
        (200, {"etag": '"5"'}, {"status": 200, "body": {"id": "7"}, "etag": '"5"'}),
        (200, {}, {"status": 200, "body": {"id": "7"}, "etag": None}),
        (304, {"etag": '"5"'}, {"status": 304, "body": None, "etag": '"5"'}),
    ],
)
async def test_what_bears_a_tag_says_so_and_may_be_as_it_was(status: int, headers: Any, output: Any) -> None:
    tool_set = set_with(DELETE)
    look = tool_of(tool_set, next(each for each in tool_set.tools if each.name == "crm.look"))
    call = Call(call_id="tcl_1", attempt=1, idempotency_key="k", settings={}, http=Service(status, **headers))
    assert await look.run({"id": "7"}, call) == output
