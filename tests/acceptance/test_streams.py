"""Live events over HTTP, from a real server: resumed without gap or repeat, and ended when the server stops."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role

from fairlead.adapters.http_server import serve
from fairlead.api import event_stream
from fairlead.domain.tenants.commands import RevokeKey
from fairlead.domain.tenants.identity import principal_of
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.documents import ask
from tests.support.workflows import at_work, echo, publish, started, until_status


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def test_a_run_is_followed_live_to_its_end_and_resumed_after_any_event(alice: Customer) -> None:
    async with _listening(alice) as url:
        run_id = await started(alice.owner, await publish(alice, echo("a"), echo("b"), ask("q"), result={}))
        async with _stream(url, f"/v1/runs/{run_id}/events", alice.key) as events:
            heard = [await anext(events)]
            while heard[-1]["type"] != "run.question_asked.v1":
                heard.append(await anext(events))
            question = (await alice.owner.get(f"/v1/runs/{run_id}/questions")).json()[0]["question_id"]
            answer = {"answer": "on"}
            await alice.owner.post(f"/v1/runs/{run_id}/questions/{question}/answer", json=answer)
            heard += [event async for event in events]
        assert heard[-1]["type"] == "run.completed.v1"
        await until_status(alice, run_id, "completed")
        assert heard == (await alice.owner.get(f"/v1/runs/{run_id}/timeline?limit=200")).json()["items"]
        for index in range(0, len(heard), 3):
            last = {"Last-Event-ID": heard[index]["position"]}
            async with _stream(url, f"/v1/runs/{run_id}/events", alice.key, last) as events:
                assert [event async for event in events] == heard[index + 1 :]


async def test_a_tenant_hears_its_own_runs_and_only_those_it_may_see(alice: Customer, bob: Customer) -> None:
    _, tester = await alice.person(Grant(Role.DEVELOPER), kind="test")
    mine, theirs = await publish(alice, ask("q")), await publish(bob, ask("q"))
    async with (
        _listening(alice) as url,
        _stream(url, "/v1/events", alice.key) as own,
        _stream(url, "/v1/events", tester) as tested,
    ):
        await started(bob.owner, theirs)
        in_live = await started(alice.owner, mine)
        in_test = await started(alice.as_key(tester), mine)
        assert (await anext(own))["run_id"] == in_live
        assert (await anext(tested))["run_id"] == in_test


async def test_a_revoked_key_hears_no_more(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.05)
    program_id, key = await alice.service_account(Grant(Role.DEVELOPER))
    run_id = await started(alice.owner, await publish(alice, ask("q")))
    async with _listening(alice) as url, _stream(url, f"/v1/runs/{run_id}/events", key) as events:
        assert (await anext(events))["run_id"] == run_id
        state = await alice.state()
        (key_id,) = state.members[program_id].keys
        by, now = principal_of(state, alice.owner_id), alice.served.core.clock.now()
        await alice.do(RevokeKey(by=by, key_id=key_id, reason="leaked", now=now))
        async with asyncio.timeout(10):
            assert [event["type"] async for event in events if not event["type"].startswith("run.")] == []


async def test_streams_end_when_the_server_stops(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, ask("q")))
    async with _listening(alice) as url, _stream(url, f"/v1/runs/{run_id}/events", alice.key) as events:
        await anext(events)
        alice.served.api.state["live"].end_all()
        try:
            async with asyncio.timeout(10):
                assert [event async for event in events if event["type"] == "run.completed.v1"] == []
        finally:
            alice.served.api.state["live"].closing = False


async def test_a_place_that_is_none_is_refused(alice: Customer) -> None:
    refused = await alice.owner.get("/v1/events", headers={"Last-Event-ID": "yesterday"})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "/Last-Event-ID")
    assert (await alice.owner.get("/v1/runs/run_nothing/events")).status_code == 404


@asynccontextmanager
async def _listening(customer: Customer) -> AsyncIterator[str]:
    """The API behind a real server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api, closing = customer.served.api, asyncio.Event()
    server = asyncio.create_task(serve(_without_lifespan(api), "127.0.0.1", port, closing, 5))
    url = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        while True:
            with suppress(httpx2.ConnectError):
                if (await client.get(f"{url}/healthz")).status_code == 200:
                    break
    try:
        yield url
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


def _without_lifespan(api: Any) -> Any:
    """The application's own has begun already."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await api(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


@asynccontextmanager
async def _stream(
    url: str, path: str, key: str, headers: dict[str, str] | None = None
) -> AsyncIterator[AsyncIterator[Any]]:
    sent = {"Authorization": f"Bearer {key}", **(headers or {})}
    async with (
        httpx2.AsyncClient(base_url=url, headers=sent, timeout=20, verify=False) as client,
        client.stream("GET", path) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 1000"

        async def events() -> AsyncIterator[Any]:
            async for line in lines:
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

        yield events()
