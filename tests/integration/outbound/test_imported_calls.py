"""Imported operations carried out against a real server, over the guarded way out."""

import asyncio
import base64
from typing import Any

import pytest
from fairlead_sdk import Auth, AuthKind, Call, Connection, Credential
from fairlead_sdk.answers import SLOW_DOWN_S
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater

from fairlead.adapters.outbound import GuardedOutbound
from fairlead_http.calling import tool_of
from tests.support.flaky_http import HEAD, Asked, FlakyServer, raw, reply, reset
from tests.support.openapi import imported, one
from tests.support.outbound import SECRET, met, way

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
ANY_JSON = {"200": {"description": "done", "content": {"application/json": {}}}}


class Service:
    """One imported operation, and the server that it calls."""

    def __init__(self, server: FlakyServer, outbound: GuardedOutbound) -> None:
        self.server = server
        self._outbound = outbound
        self.config = {"base_url": server.url("/api/")}

    async def run(
        self,
        operation: dict[str, Any],
        arguments: dict[str, Any],
        method: str = "get",
        path: str = "/things",
        **more: Any,
    ) -> Any:
        document = one(
            {"operationId": "do", "responses": ANY_JSON, **operation}, method, path, **more.get("document", {})
        )
        result = imported(document, more.get("hints"))
        assert result.tool_set is not None, (result.problems, result.left_out)
        tool_set = result.tool_set
        http = self._outbound.http(
            way(
                self.server,
                egress=(*tool_set.egress, "{base_url}"),
                config=self.config,
                auth=Auth(kind=AuthKind.OAUTH2),
                credential=Credential(secret=SECRET),
            )
        )
        call = Call(
            call_id="tcl_1",
            attempt=more.get("attempt", 1),
            idempotency_key="key-1",
            settings={},
            connection=Connection(connection_id="con_1", config=self.config),
            http=http,
        )
        return await tool_of(tool_set, tool_set.tools[0]).run(arguments, call)


@pytest.fixture
def service(server: FlakyServer, outbound: GuardedOutbound) -> Service:
    return Service(server, outbound)


async def test_arguments_go_where_the_description_says(service: Service) -> None:
    parameters = [
        ID,
        {"name": "tags", "in": "query", "schema": {"type": "array"}, "explode": False},
        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
        {"name": "sid", "in": "cookie", "schema": {"type": "string"}},
    ]
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object", "properties": {"a": {}}}}}}
    operation = {"parameters": parameters, "requestBody": body, "security": [{"o": []}]}
    schemes = {"securitySchemes": {"o": {"type": "http", "scheme": "bearer"}}}
    arguments = {"id": "a/b", "tags": ["x", "y"], "X_Trace": "t", "sid": "s;1", "body": {"a": 1}}
    answer = await service.run(operation, arguments, "put", "/things/{id}", document={"components": schemes})
    assert answer == {"status": 200, "body": {}}
    (asked,) = service.server.asked
    assert (asked.method, asked.target, asked.body) == ("PUT", "/api/things/a%2Fb?tags=x,y", b'{"a":1}')
    assert asked.headers["x-trace"] == "t"
    assert asked.headers["cookie"] == "sid=s%3B1"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"


async def test_an_operation_for_anybody_is_sent_no_credential(service: Service) -> None:
    await service.run({}, {})
    assert "authorization" not in service.server.asked[0].headers


async def test_a_key_is_the_calls_own_each_time(service: Service) -> None:
    parameters = [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}]
    for attempt in (1, 2):
        await service.run({"parameters": parameters}, {}, "post", attempt=attempt)
    assert [asked.headers["idempotency-key"] for asked in service.server.asked] == ["key-1", "key-1"]


@pytest.mark.parametrize("value", ["..", ".", "", "../../admin", "x/../..", "..\\admin", "a//b", "/admin", "x/"])
async def test_no_argument_leads_to_another_path(service: Service, value: str) -> None:
    error = await met(service.run({"parameters": [ID]}, {"id": value}, "get", "/things/{id}"))
    assert isinstance(error, BadArguments)
    assert service.server.asked == []


@pytest.mark.parametrize(
    ("value", "sent"), [("%2e%2e/admin", "%252e%252e%2Fadmin"), ("a?b=c#d", "a%3Fb%3Dc%23d"), ("a/b", "a%2Fb")]
)
async def test_an_argument_is_one_part_of_the_path(service: Service, value: str, sent: str) -> None:
    await service.run({"parameters": [ID]}, {"id": value}, "get", "/things/{id}")
    assert service.server.asked[0].target == f"/api/things/{sent}"


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\x00"])
async def test_no_argument_adds_a_header(service: Service, value: str) -> None:
    parameters = [{"name": "X-Trace", "in": "header", "schema": {"type": "string"}}]
    assert isinstance(await met(service.run({"parameters": parameters}, {"X_Trace": value})), Refused)
    assert service.server.asked == []


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("get", 500, TryLater),
        ("post", 500, OutcomeUnknown),
        ("post", 429, TryLater),
        ("post", 401, NeedsReconnect),
        ("post", 409, Refused),
        ("post", 302, Refused),
        ("post", 400, BadArguments),
    ],
)
async def test_a_status_says_what_to_do_next(
    service: Service, method: str, status: int, expected: type[ToolError]
) -> None:
    service.server.answers["/api/things"] = reply(status, location="http://elsewhere.example/")
    assert type(await met(service.run({}, {}, method))) is expected


async def test_a_limit_without_a_header_is_waited_out(service: Service) -> None:
    """As GitHub's secondary limits are told."""
    said = b'{"message": "You have exceeded a secondary rate limit.", "documentation_url": "https://docs.github.com"}'
    service.server.answers["/api/things"] = reply(403, said, content_type="application/json; charset=utf-8")
    error = await met(service.run({}, {}, "post"))
    assert isinstance(error, TryLater)
    assert (error.code, error.retry_after_s) == ("rate_limited", SLOW_DOWN_S)


async def test_a_lost_answer_leaves_a_write_unknown(service: Service) -> None:
    service.server.answers["/api/things"] = reset
    assert type(await met(service.run({}, {}, "post"))) is OutcomeUnknown


async def test_a_page_in_place_of_json_leaves_a_write_unknown_and_a_read_for_later(service: Service) -> None:
    service.server.answers["/api/things"] = reply(200, b"<h1>sign in</h1>", content_type="text/html")
    assert type(await met(service.run({}, {}, "post"))) is OutcomeUnknown
    assert type(await met(service.run({}, {}, "get"))) is TryLater


async def test_what_an_earlier_attempt_deleted_is_gone_and_nobody_elses(service: Service) -> None:
    service.server.answers["/api/things"] = reply(404)
    assert await service.run({}, {}, "delete", attempt=2) == {"status": 404, "body": None}
    assert type(await met(service.run({}, {}, "delete", attempt=1))) is Refused
    assert type(await met(service.run({}, {}, "put", attempt=2))) is Refused


@pytest.mark.parametrize(
    ("media_type", "sent", "body"),
    [
        ("text/csv", b"a,b\n", "a,b\n"),
        ("application/pdf", b"%PDF\xff", base64.b64encode(b"%PDF\xff").decode()),
        ("application/json", b"", None),
    ],
)
async def test_what_is_no_json_comes_back_as_text(service: Service, media_type: str, sent: bytes, body: str) -> None:
    service.server.answers["/api/things"] = reply(200, sent, content_type=media_type)
    responses = {"200": {"description": "done", "content": {media_type: {}}}}
    assert await service.run({"responses": responses}, {}) == {"status": 200, "body": body}
    assert service.server.asked[0].headers["accept"] == media_type


async def test_what_nobody_described_does_not_come_back(service: Service) -> None:
    service.server.answers["/api/things"] = reply(200, b'{"token": "hush"}')
    answer = await service.run({"responses": {"204": {"description": "done"}}}, {}, "post")
    assert answer == {"status": 200, "body": None}


async def test_pages_are_read_as_far_as_was_asked_and_the_rest_is_named(service: Service) -> None:
    async def page(writer: asyncio.StreamWriter, asked: Asked) -> None:
        number = int(asked.target.partition("p=")[2] or "1")
        link = f'Link: </api/things?p={number + 1}>; rel="next"\r\n' if number < 4 else ""
        writer.write(HEAD + f"{link}content-length: 3\r\n\r\n[{number}]".encode())

    service.server.answers["/api/things"] = page
    hints = {"pagination": {"style": "link"}}
    first = await service.run({}, {}, hints=hints)
    assert (first["body"], first["next_page"]) == ([1], service.server.url("/api/things?p=2"))
    more = await service.run({}, {"next_page": first["next_page"], "pages": 2}, hints=hints)
    assert (more["body"], more["next_page"]) == ([2, 3], service.server.url("/api/things?p=4"))
    last = await service.run({}, {"next_page": more["next_page"], "pages": 20}, hints=hints)
    assert (last["body"], last["next_page"]) == ([4], None)


async def test_pages_stop_where_they_would_no_longer_fit(service: Service) -> None:
    large = b'["' + b"x" * 1_600_000 + b'"]'
    service.server.answers["/api/things"] = reply(200, large, link='</api/things?p=2>; rel="next"')
    answer = await service.run({}, {"pages": 20}, hints={"pagination": {"style": "link"}})
    assert (len(answer["body"]), len(service.server.asked)) == (1, 1)
    assert answer["next_page"] is not None


async def test_a_read_follows_redirects_of_the_service_and_a_write_none(service: Service) -> None:
    service.server.answers["/api/things"] = reply(307, b"", location="/moved")
    assert (await service.run({}, {}))["status"] == 200
    assert type(await met(service.run({}, {}, "post"))) is Refused
    assert [asked.target for asked in service.server.asked] == ["/api/things", "/moved", "/api/things"]


async def test_an_operation_with_a_server_of_its_own_goes_there(service: Service, outbound: GuardedOutbound) -> None:
    own = {"servers": [{"url": service.server.url("/own")}]}
    await service.run(own, {})
    assert service.server.asked[0].target == "/own/things"


async def test_nobody_is_asked_when_nobody_says_where_the_service_is(service: Service) -> None:
    service.config = {}
    error = await met(service.run({}, {}, document={"servers": []}))
    assert error.code == "no_address"


async def test_a_broken_answer_is_no_output(service: Service) -> None:
    service.server.answers["/api/things"] = raw(HEAD + b'content-length: 5\r\n\r\n{"a":')
    assert type(await met(service.run({}, {}, "post"))) is OutcomeUnknown
