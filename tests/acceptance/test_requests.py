"""What is done to every request, well-formed or not, and what never gets out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import msgspec
import pytest
import structlog
from litestar import Litestar

from fairlead.api.application import create_api
from fairlead.api.rate_limit import RateLimit
from fairlead.domain.envelope import StreamRef
from tests.support.api import Customer, Served, listening

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PLANTED = "hunter2ThisIsPlanted"
PROBLEM = "application/problem+json"


def changed(served: Served, **changes: Any) -> Served:
    parts = replace(served.parts, **changes)
    return replace(served, parts=parts, api=create_api(parts))


async def test_a_trace_goes_through_from_the_request_to_the_log(served: Served, alice: Customer) -> None:
    made = await alice.owner.post("/v1/workspaces", json={"name": "claims"}, headers={"traceparent": TRACE})
    assert made.headers["traceresponse"].split("-")[1] == TRACE.split("-")[1]
    recorded = (await served.parts.log.read(StreamRef(alice.tenant_id, "tenant", alice.tenant_id)))[-1]
    assert recorded.commit.trace_parent == made.headers["traceresponse"]
    problem = await alice.owner.get("/v1/nothing", headers={"traceparent": TRACE})
    assert problem.json()["trace_id"] == TRACE.split("-")[1]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/keys/%00", 404, "key_unknown"),
        ("GET", "/v1/workflows/x/versions/abc", 404, "not_found"),
        ("PUT", "/v1/tenant", 405, "method_not_allowed"),
        ("GET", "/v1/workspaces?limit=0", 422, "invalid_input"),
        ("GET", "/v1/workspaces?limit=201", 422, "invalid_input"),
        ("GET", "/v1/workspaces?cursor=nonsense", 422, "invalid_input"),
    ],
)
async def test_whatever_goes_wrong_is_a_problem_document(
    alice: Customer, method: str, path: str, status: int, code: str
) -> None:
    answer = await alice.owner.request(method, path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    problem = answer.json()
    assert problem["code"] == code
    assert problem["type"] == f"urn:fairlead:problem:{code}"
    assert problem["status"] == status
    if status == 405:
        assert answer.headers["Allow"] == "GET, PATCH, OPTIONS"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "path"),
    [
        (b"{", "application/json", 400, None),
        (b"\xff\xfe", "application/json", 400, None),
        (b"[" * 5_000, "application/json", 400, None),
        (b'{"name": "x", "nmae": "y"}', "application/json", 422, ""),
        (b'{"name": 7}', "application/json", 422, "/name"),
        (b"{}", "application/json", 422, ""),
        (b"", "application/json", 422, "/data"),
        (b"name=x", "application/x-www-form-urlencoded", 415, None),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_its_place(
    alice: Customer, body: bytes, content_type: str, status: int, path: str | None
) -> None:
    answer = await alice.owner.post("/v1/workspaces", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    assert [each["path"] for each in answer.json().get("errors", [])] == ([] if path is None else [path])


async def test_a_body_is_taken_up_to_its_limit_and_not_past_it(alice: Customer) -> None:
    async def sent(size: int) -> int:
        body = b'{"name":"' + b" " * (size - 11) + b'"}'
        headers = {"Content-Type": "application/json"}
        return (await alice.owner.post("/v1/workspaces", content=body, headers=headers)).status_code

    assert await sent(1024 * 1024) == 422
    assert await sent(1024 * 1024 + 1) == 413


async def test_headers_are_counted(alice: Customer) -> None:
    answer = await alice.owner.get("/v1/me", headers={f"x-{number}": "y" for number in range(100)})
    assert (answer.status_code, answer.json()["code"]) == (431, "too_many_headers")


async def test_a_planted_secret_is_in_no_answer_and_in_no_log(served: Served, alice: Customer) -> None:
    async def broken() -> Any:
        raise ValueError(PLANTED)

    faulty, key = changed(served, lag=broken), alice.key
    bad_key = f"{key[:-40]}{PLANTED}{key[-20:]}"
    with structlog.testing.capture_logs() as lines:
        answers = [
            await alice.owner.post("/v1/workspaces", json={"name": PLANTED * 10}),
            await alice.owner.post("/v1/workspaces", json={"name": [PLANTED]}),
            await alice.owner.post("/v1/environments", json={"name": "x", "kind": PLANTED}),
            await alice.owner.post("/v1/principals/x/grants", json={"role": PLANTED}),
            await alice.owner.post("/v1/workspaces", content=f'{{"name": {PLANTED}'.encode()),
            await alice.owner.post("/v1/keys", json={"name": "k", "environment_id": PLANTED}),
            await alice.owner.get("/v1/principals", params={"kind": PLANTED}),
            await alice.owner.get("/v1/workspaces", params={"cursor": PLANTED, "limit": PLANTED}),
            await alice.owner.get("/v1/workspaces", headers={"Fairlead-Position": PLANTED}),
            await alice.owner.put("/v1/workflows/x", params={"reason": "y"}, json={"name": PLANTED, "goal": PLANTED}),
            await alice.owner.put("/v1/workflows/x?reason=y", json={}, headers={"If-Match": PLANTED}),
            await alice.owner.post(
                "/v1/workflows/validate", content=f"a: &b {PLANTED}\n- {PLANTED}", headers={"Content-Type": "text/yaml"}
            ),
            await served.client(bad_key).get("/v1/me"),
            await served.client(headers={"Authorization": f"Basic {PLANTED}"}).get("/v1/me"),
            await faulty.client().get("/metrics"),
        ]
    statuses = [answer.status_code for answer in answers]
    assert statuses[-1] == 500
    assert all(status >= 400 or number == 11 for number, status in enumerate(statuses)), statuses
    for answer in answers:
        assert PLANTED not in answer.text + repr(answer.headers), answer.text
    written = msgspec.json.encode(lines, enc_hook=str).decode()
    assert len(lines) > len(answers)
    assert PLANTED not in written
    assert key not in written


async def test_requests_are_logged_with_who_asked_and_how_it_went(served: Served, alice: Customer) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await alice.owner.get("/v1/workspaces/wsp_x", headers={"traceparent": TRACE})
    [line] = [line for line in lines if line["event"] == "request"]
    assert line["route"] == "/v1/workspaces/{workspace_id}"
    assert (line["method"], line["status"], line["log_level"]) == ("GET", 404, "info")
    assert (line["tenant_id"], line["principal_id"]) == (alice.tenant_id, alice.owner_id)
    assert line["trace_id"] == TRACE.split("-")[1]
    assert line["duration_ms"] > 0


async def test_one_credential_is_slowed_down_and_others_are_not(served: Served, alice: Customer, bob: Customer) -> None:
    slow = changed(served, rate_limit=RateLimit(per_second=0.01, burst=2))
    client = slow.client(alice.key)
    assert [(await client.get("/v1/me")).status_code for _ in range(2)] == [200, 200]
    refused = await client.get("/v1/me")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["RateLimit"].startswith('"credential";r=0;t=')
    assert refused.headers["RateLimit-Policy"] == '"credential";q=2;w=200'
    assert (await slow.client(bob.key).get("/v1/me")).status_code == 200


async def test_a_position_that_is_not_reached_is_answered_in_two_seconds(alice: Customer) -> None:
    began = asyncio.get_running_loop().time()
    answer = await alice.owner.get("/v1/workflows", headers={"Fairlead-Position": "999999999"})
    assert (answer.status_code, answer.json()["code"]) == (503, "position_not_reached")
    assert answer.headers["Retry-After"] == "1"
    assert 1.9 < asyncio.get_running_loop().time() - began < 4


async def test_lists_go_on_where_the_page_before_ended(alice: Customer, bob: Customer) -> None:
    for number in range(4):
        assert (await alice.owner.post("/v1/workspaces", json={"name": f"w{number}"})).status_code == 201
    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        wanted = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await alice.owner.get("/v1/workspaces", params=wanted)).json()
        found += [each["name"] for each in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        if cursor:
            assert (await bob.owner.get("/v1/workspaces", params={"cursor": cursor})).status_code == 422
            assert (await alice.owner.get("/v1/keys", params={"cursor": cursor})).status_code == 422
    assert (pages, sorted(found)) == (3, ["default", "w0", "w1", "w2", "w3"])


async def test_operators_see_whether_it_works_and_how_much(served: Served, alice: Customer) -> None:
    await alice.owner.get("/v1/workspaces/wsp_x")
    anybody = served.client()
    assert (await anybody.get("/healthz")).json() == {"status": "ok"}
    assert (await anybody.get("/readyz")).json() == {"log": "ok", "database": "ok"}
    text = (await anybody.get("/metrics")).text
    assert 'fairlead_api_requests_total{method="GET",route="/v1/workspaces/{workspace_id}",status="404"}' in text
    assert 'fairlead_projection_lag_commits{projection="run_board"}' in text
    assert "fairlead_backlog_commits" in text
    assert alice.tenant_id not in text
    described = (await anybody.get("/openapi.json")).json()
    assert described["openapi"] == "3.1.0"


async def test_a_process_that_is_about_to_stop_is_not_ready(served: Served) -> None:
    stopping = changed(served, closing=asyncio.Event())
    assert (await stopping.client().get("/readyz")).status_code == 200
    stopping.parts.closing.set()
    assert (await stopping.client().get("/readyz")).status_code == 503


async def test_a_real_server_answers_the_same(served: Served, alice: Customer) -> None:
    async with _speaking_to(served.api, alice.key) as client:
        assert (await client.get("/v1/me")).json()["principal_id"] == alice.owner_id
        made = await client.post("/v1/workspaces", json={"name": "claims"})
        assert made.status_code == 201
        listed = await client.get("/v1/workspaces", headers={"Fairlead-Position": made.headers["Fairlead-Position"]})
        assert made.json() in listed.json()["items"]


@asynccontextmanager
async def _speaking_to(api: Litestar, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        listening(api) as url,
        httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, verify=False) as client,
    ):
        yield client
