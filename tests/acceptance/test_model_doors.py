"""Agents that speak a vendor's wire, given our address instead: each call is a run's, counted, recorded, stopped."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Permission, Role

from tests.support.api import Customer, Served, in_a_task_of_its_own, listening
from tests.support.database import DatabaseUrls
from tests.support.model_customers import KEY, PROVIDER, equipped, served_beside
from tests.support.model_upstream import HELLO, ModelUpstream
from tests.support.workflows import publish, started, until, until_status

CHAT, RESPONSES, MESSAGES = "/openai/v1/chat/completions", "/openai/v1/responses", "/anthropic/v1/messages"
ELSEWHERE = {"Fairlead-Workflow": "elsewhere"}
TALK = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "good", "messages": TALK, "max_completion_tokens": 50},
    RESPONSES: {"model": "good", "input": "hi", "max_output_tokens": 50},
    MESSAGES: {"model": "good", "messages": TALK, "max_tokens": 50},
}


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[ModelUpstream]:
    async with in_a_task_of_its_own(ModelUpstream.at()) as server:
        yield server


@pytest.fixture(scope="module")
async def served(nats_url: str, database_template: DatabaseUrls, upstream: ModelUpstream) -> AsyncIterator[Served]:
    async with served_beside(nats_url, database_template, upstream) as served:
        yield served


@pytest.fixture(scope="module")
async def url(served: Served) -> AsyncIterator[str]:
    async with in_a_task_of_its_own(listening(served.api)) as found:
        yield found


async def at_the_door(who: Customer, upstream: ModelUpstream, **fields: Any) -> None:
    upstream.mood = "well"
    await equipped(who, main=upstream)
    candidate = {"id": "main", "provider": PROVIDER, "model": "m-1", "connection": "main"}
    route = {"fairlead_route": 1, "candidates": [candidate]}
    made = await who.owner.put("/v1/routes/good", json=route, params={"reason": "wanted"})
    assert made.status_code in (200, 201), made.text
    await publish(who, planner="outside", name="elsewhere", tools=[], routes=["good"], **fields)


def said_in(path: str, body: Any) -> str:
    match path:
        case "/openai/v1/chat/completions":
            return str(body["choices"][0]["message"]["content"])
        case "/openai/v1/responses":
            return str(body["output"][0]["content"][0]["text"])
        case _:
            return str(body["content"][0]["text"])


@pytest.mark.parametrize("path", BODIES)
async def test_a_call_over_each_wire_is_a_call_of_a_run(
    alice: Customer, bob: Customer, upstream: ModelUpstream, path: str
) -> None:
    await at_the_door(alice, upstream)
    answer = await alice.owner.post(path, json=BODIES[path], headers=ELSEWHERE)
    assert answer.status_code == 200, answer.text
    assert said_in(path, answer.json()) == HELLO
    assert (answer.headers["Fairlead-Provider"], answer.headers["Fairlead-Model"]) == (PROVIDER, "m-1")
    assert int(answer.headers["Fairlead-Cost-Usd-Micros"]) > 0
    run = answer.headers["Fairlead-Run"]
    shown = await until(alice, f"/v1/runs/{run}", lambda found: found["model_calls"] == 1)
    assert shown["cost_usd_micros"] == int(answer.headers["Fairlead-Cost-Usd-Micros"])
    again = await alice.owner.post(path, json=BODIES[path], headers=ELSEWHERE)
    assert again.headers["Fairlead-Run"] == run, "calls of one key and workflow are one run"
    assert (await bob.owner.get(f"/v1/runs/{run}")).status_code == 404
    stolen = await bob.owner.post(path, json=BODIES[path], headers={"Fairlead-Run": run})
    assert stolen.status_code == 404
    assert KEY not in answer.text + str(answer.headers)


@pytest.mark.parametrize("path", BODIES)
async def test_a_streamed_answer_comes_in_pieces_and_is_recorded_before_its_last(
    alice: Customer, upstream: ModelUpstream, url: str, path: str
) -> None:
    await at_the_door(alice, upstream)
    headers = ELSEWHERE | {"Authorization": f"Bearer {alice.key}"}
    async with (
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
        client.stream("POST", path, json=BODIES[path] | {"stream": True}) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines()]
        run = answer.headers["Fairlead-Run"]
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ") and line != "data: [DONE]"]
    text = json.dumps(events, ensure_ascii=False)
    assert all(word in text for word in HELLO.split())
    assert "usage" in text, "usage comes whether it was asked for or not"
    assert any(line.startswith(": cost_usd_micros=") for line in lines)
    timeline = await until(
        alice,
        f"/v1/runs/{run}/timeline?type=model_call.",
        lambda found: found["items"][-1]["type"] == "model_call.completed.v1",
    )
    assert timeline["items"][-1]["data"]["streamed"]


@pytest.mark.parametrize("streams", [False, True])
async def test_nobody_goes_on_thinking_for_a_client_that_has_gone(
    alice: Customer, upstream: ModelUpstream, url: str, streams: bool
) -> None:
    await at_the_door(alice, upstream)
    upstream.mood = "silent"
    upstream.arrived.clear()
    headers = ELSEWHERE | {"Authorization": f"Bearer {alice.key}", "Fairlead-Session": f"leaving-{streams}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        asking = asyncio.create_task(client.post(CHAT, json=BODIES[CHAT] | {"stream": streams}))
        await upstream.arrived.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    items = await until(alice, "/v1/runs", lambda found: bool(found["items"]))
    run = items["items"][0]["run_id"]
    timeline = await until(
        alice,
        f"/v1/runs/{run}/timeline?type=model_call.",
        lambda found: found["items"][-1]["type"] == "model_call.failed.v1",
    )
    assert timeline["items"][-1]["data"]["code"] == "caller_gone"


async def test_what_is_refused_is_said_in_the_words_of_the_wire_and_nothing_is_sent(
    alice: Customer, upstream: ModelUpstream
) -> None:
    await at_the_door(alice, upstream)
    before = len(upstream.asked)

    async def refused(path: str, body: Any = None, key: str | None = None, **headers: str) -> tuple[int, Any]:
        client = alice.owner if key is None else alice.as_key(key)
        answer = await client.post(path, json=body or BODIES[path], headers=headers or ELSEWHERE)
        assert answer.headers["x-should-retry"] == "false"
        return answer.status_code, answer.json()

    status, said = await refused(CHAT, BODIES[CHAT] | {"model": "gpt-of-nobody"})
    assert (status, said["error"]["code"], said["error"]["type"]) == (404, "model_not_found", "not_found_error")
    status, said = await refused(MESSAGES, {"model": "good", "messages": TALK})
    assert (status, said["type"], said["error"]["type"]) == (400, "error", "invalid_request_error")
    status, said = await refused(CHAT, **{"Fairlead-Other": "x"})
    assert (status, said["error"]["code"]) == (400, "run_needed")
    status, said = await refused(MESSAGES, key="flk_live_nothing")
    assert (status, said["error"]["type"]) == (401, "authentication_error")
    _, key = await alice.service_account(Grant(Role.DEVELOPER), scopes=frozenset({Permission.RUN_READ}))
    status, said = await refused(RESPONSES, key=key)
    assert (status, said["error"]["type"]) == (403, "permission_error")
    other = await publish(alice, planner="outside", name="silent", tools=[])
    status, said = await refused(CHAT, **{"Fairlead-Workflow": other})
    assert (status, said["error"]["code"]) == (404, "model_not_found")
    assert len(upstream.asked) == before


async def test_a_cap_is_a_refusal_that_no_client_repeats(alice: Customer, upstream: ModelUpstream) -> None:
    await at_the_door(alice, upstream, limits={"cost_usd_micros": 10})
    before = len(upstream.asked)
    answer = await alice.owner.post(CHAT, json=BODIES[CHAT], headers=ELSEWHERE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "limit_cost_usd_micros")
    assert answer.headers["x-should-retry"] == "false"
    assert len(upstream.asked) == before


async def test_anthropics_clients_send_their_key_in_a_header_of_their_own(
    alice: Customer, served: Served, upstream: ModelUpstream
) -> None:
    await at_the_door(alice, upstream)
    client = served.client(headers={"x-api-key": alice.key})
    assert (await client.post(MESSAGES, json=BODIES[MESSAGES], headers=ELSEWHERE)).status_code == 200


async def test_the_models_of_a_workflow_are_its_routes(alice: Customer, upstream: ModelUpstream) -> None:
    await at_the_door(alice, upstream)
    listed = await alice.owner.get("/openai/v1/models", headers=ELSEWHERE)
    assert [each["id"] for each in listed.json()["data"]] == ["good"]
    named = await alice.owner.get("/openai/v1/models")
    assert (named.status_code, named.json()["error"]["code"]) == (400, "run_needed")


async def test_a_run_that_was_begun_by_hand_is_gone_on_with(alice: Customer, upstream: ModelUpstream) -> None:
    await at_the_door(alice, upstream)
    run = await started(alice.owner, await publish(alice, planner="outside", name="byhand", tools=[], routes=["good"]))
    answer = await alice.owner.post(CHAT, json=BODIES[CHAT], headers={"Fairlead-Run": run})
    assert (answer.status_code, answer.headers["Fairlead-Run"]) == (200, run)
    await alice.owner.post(f"/v1/runs/{run}/give-up", json={"reason": "enough"})
    await until_status(alice, run, "impossible")
    over = await alice.owner.post(CHAT, json=BODIES[CHAT], headers={"Fairlead-Run": run})
    assert (over.status_code, over.json()["error"]["code"]) == (409, "run_not_active")
