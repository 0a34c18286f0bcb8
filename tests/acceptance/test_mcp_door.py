"""Clients of the Model Context Protocol, of both its eras, with the protocol's own library; and who tries to get in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import httpx2
import pytest
from fairlead_tenants.access import Grant, Permission, Role
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, InputRequiredResult, TextContent

from fairlead.api.bodies import MAX_BODY_BYTES
from fairlead.domain.ids import WorkflowId
from tests.support.api import Customer, Served, in_a_task_of_its_own, listening
from tests.support.workflows import (
    ECHO,
    asking_people,
    at_work,
    echo,
    publish,
    the_approval,
    until,
    until_status,
    up_to_now,
)

Era = Literal["legacy", "2026-07-28"]
ERAS: list[Era] = ["legacy", "2026-07-28"]
HELLO = {"text": "hello"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


@pytest.fixture(scope="module")
async def url(served: Served) -> AsyncIterator[str]:
    async with in_a_task_of_its_own(listening(served.api)) as found:
        yield found


async def outside(customer: Customer, **fields: Any) -> WorkflowId:
    return await publish(customer, planner="outside", name="elsewhere", **fields)


@asynccontextmanager
async def client(url: str, key: str, era: Era | str = "auto", **headers: str) -> AsyncIterator[Client]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with AsyncExitStack() as parts:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"} | sent, timeout=60)
        await parts.enter_async_context(http)
        transport = streamable_http_client(url if "/mcp/" in url else f"{url}/mcp/elsewhere", http_client=http)
        yield await parts.enter_async_context(Client(transport, mode=era))


async def runs_of(customer: Customer) -> list[Any]:
    shown = await customer.owner.get("/v1/runs", headers=await up_to_now(customer))
    return list(shown.json()["items"])


async def posted(customer: Customer, body: Any, **headers: str) -> httpx2.Response:
    sent = ACCEPT | {name.replace("_", "-"): value for name, value in headers.items()}
    return await customer.owner.post("/mcp/elsewhere", json=body, headers=sent)


def rpc(method: str, request_id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


async def begun(customer: Customer, **headers: str) -> str:
    hello = rpc("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"})
    answer = await posted(customer, hello, **headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["Mcp-Session-Id"]


def text_of(result: CallToolResult) -> str:
    (only,) = result.content
    assert isinstance(only, TextContent)
    return only.text


# --- what a client does ---


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_sees_the_allow_list_calls_a_tool_and_finishes(url: str, alice: Customer, era: Era) -> None:
    await outside(alice)
    async with client(url, alice.key, era) as agent:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
        assert tools.keys() == {"basics_echo", "fairlead_await", "fairlead_finish", "fairlead_give_up"}
        echo = tools["basics_echo"]
        assert echo.input_schema["type"] == "object"
        assert echo.input_schema["required"] == ["text"]
        assert echo.annotations is not None
        assert (echo.annotations.read_only_hint, echo.annotations.destructive_hint) == (True, False)
        said = await agent.call_tool("basics_echo", HELLO)
        assert (said.is_error, said.structured_content["text"]) == (False, "hello")
        await agent.call_tool("fairlead_finish", {"output": {"n": 1}})
    (run,) = await runs_of(alice)
    assert (run["status"], run["labels"]["fairlead.door"]) == ("completed", "mcp")
    timeline = await alice.owner.get(f"/v1/runs/{run['run_id']}/timeline", headers=await up_to_now(alice))
    asked = next(event for event in timeline.json()["items"] if event["type"] == "tool_call.asked.v1")
    assert (asked["data"]["door"], asked["data"]["tool"]) == ("mcp", ECHO)


async def test_a_client_that_may_choose_finds_the_newest_era_and_its_calls_are_one_run(
    url: str, alice: Customer
) -> None:
    await outside(alice)
    async with client(url, alice.key) as agent:
        assert agent.protocol_version == "2026-07-28"
        assert agent.instructions is not None
        assert "Check an invoice" in agent.instructions
        for _ in range(2):
            await agent.call_tool("basics_echo", HELLO)
    async with client(url, alice.key) as again, client(url, alice.key, fairlead_session="other") as other:
        await again.call_tool("basics_echo", HELLO)
        await other.call_tool("basics_echo", HELLO)
        assert sorted(run["tool_calls"] for run in await runs_of(alice)) == [1, 3]
        await again.call_tool("fairlead_finish", {"output": {}})
        await again.call_tool("basics_echo", HELLO)
    assert sorted(run["tool_calls"] for run in await runs_of(alice)) == [1, 1, 3]


@pytest.mark.parametrize("era", ERAS)
async def test_a_denial_and_what_does_not_fit_are_told_to_the_model(url: str, alice: Customer, era: Era) -> None:
    rule = {"id": "never", "tools": [ECHO], "verdict": "deny", "reason": "echoes are forbidden"}
    await outside(alice, policy={"rules": [rule]}, output={"type": "object", "required": ["n"]})
    async with client(url, alice.key, era) as agent:
        denied = await agent.call_tool("basics_echo", HELLO)
        assert denied.is_error
        assert denied.structured_content["error"]["rule_id"] == "never"
        assert "echoes are forbidden" in text_of(denied)
        unlisted = await agent.call_tool("basics_wipe", {})
        assert unlisted.structured_content["error"]["rule_id"] == "default.not_on_allow_list"
        broken = await agent.call_tool("basics_echo", {"nobody": 1})
        assert (broken.is_error, broken.structured_content["error"]["code"]) == (True, "bad_arguments")
        unfit = await agent.call_tool("fairlead_finish", {"output": {}})
        assert (unfit.is_error, "/output/n" in text_of(unfit)) == (True, True)
        given_up = await agent.call_tool("fairlead_give_up", {"reason": "it is forbidden"})
        assert not given_up.is_error
    (run,) = await runs_of(alice)
    assert run["status"] == "impossible"


async def _approve(customer: Customer) -> None:
    run = (await until(customer, "/v1/runs", lambda page: bool(page["items"])))["items"][0]
    approval = await the_approval(customer, run["run_id"])
    _, key = await customer.person(Grant(Role.REVIEWER))
    path = f"/v1/approvals/{approval['approval_id']}/approve"
    signed = await customer.as_key(key).post(path, json={"digest": approval["digest"]})
    assert signed.status_code == 200, signed.text


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_waits_for_people_with_progress_and_is_answered_once_they_have_signed(
    url: str, alice: Customer, era: Era
) -> None:
    await outside(alice, **asking_people())
    heard: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with client(url, alice.key, era) as agent, asyncio.TaskGroup() as group:
        asked = group.create_task(agent.call_tool("basics_echo", HELLO, progress_callback=on_progress))
        await _approve(alice)
        said = await asked
        assert (said.is_error, said.structured_content["text"]) == (False, "hello")
    assert any(message is not None and "approval by 1 of: reviewer" in message for _, message in heard)
    assert [step for step, _ in heard] == sorted({step for step, _ in heard})


async def test_a_call_that_is_not_over_is_handed_back_and_can_be_waited_for_in_each_era(
    url: str, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.api.mcp.calling.WAIT_S", 0.05)  # how long an answer waits is not what is tried
    await outside(alice, **asking_people())
    async with client(url, alice.key, "legacy") as old, client(url, alice.key, "2026-07-28") as new:
        pending = await old.call_tool("basics_echo", HELLO)
        shown = pending.structured_content
        assert (pending.is_error, shown["status"], shown["waits_for"]) == (False, "waiting", "approval")
        assert "fairlead_await" in text_of(pending)
        required = await new.session.call_tool("basics_echo", HELLO, allow_input_required=True)
        assert isinstance(required, InputRequiredResult)
        assert required.request_state is not None
        spent = required.request_state.partition("/")[0] + "/8"
        told = await new.session.call_tool("basics_echo", HELLO, request_state=spent)
        assert isinstance(told, CallToolResult)
        assert told.structured_content["status"] == "waiting"
        for run in await runs_of(alice):
            approval = await the_approval(alice, run["run_id"])
            _, key = await alice.person(Grant(Role.REVIEWER))
            path = f"/v1/approvals/{approval['approval_id']}/approve"
            await alice.as_key(key).post(path, json={"digest": approval["digest"]})
        waited = await old.call_tool("fairlead_await", {"call_id": shown["call_id"], "wait_s": 25})
        assert waited.structured_content["text"] == "hello"
        for handle in ({"call_id": told.structured_content["call_id"], "wait_s": 25},):
            assert (await new.call_tool("fairlead_await", handle)).structured_content["text"] == "hello"


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cancels_needs_no_approval_any_more(url: str, alice: Customer, era: Era) -> None:
    await outside(alice, **asking_people())
    waiting = asyncio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        if message is not None and "approval" in message:
            waiting.set()

    async with client(url, alice.key, era) as agent:
        asked = asyncio.create_task(agent.call_tool("basics_echo", HELLO, progress_callback=on_progress))
        await waiting.wait()
        asked.cancel()
        (run,) = await runs_of(alice)
        shown = await until(alice, "/v1/approvals", lambda page: page["items"][0]["status"] == "withdrawn")
        assert shown["items"][0]["run_id"] == run["run_id"]


async def test_ending_a_session_ends_its_run(url: str, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    await outside(alice)
    async with client(url, alice.key, "legacy") as agent:
        await agent.call_tool("basics_echo", HELLO)
        (run,) = await runs_of(alice)
    assert (await until_status(alice, run["run_id"], "completed"))["output"] == {}
    monkeypatch.setattr("fairlead.api.mcp.calling.WAIT_S", 0.05)
    await publish(alice, planner="outside", name="asking", **asking_people())
    async with client(f"{url}/mcp/asking", alice.key, "legacy") as agent:
        await agent.call_tool("basics_echo", HELLO)
    ended = (await runs_of(alice))[0]
    assert (ended["status"], ended["reason_code"]) == ("failed", "session_ended")


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_that_a_program_has_started_is_driven_by_a_client_that_names_it(
    url: str, alice: Customer, era: Era
) -> None:
    workflow = await outside(alice)
    started = await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {"order": 7}})
    run_id = started.json()["run_id"]
    async with client(url, alice.key, era, fairlead_run=run_id) as agent:
        await agent.call_tool("basics_echo", HELLO)
    run = (await alice.owner.get(f"/v1/runs/{run_id}", headers=await up_to_now(alice))).json()
    assert (run["status"], run["tool_calls"]) == ("running", 1)
    await alice.owner.post(f"/v1/runs/{run_id}/give-up", json={"reason": "test"})
    hello = rpc("initialize", protocolVersion="2025-11-25", capabilities={})
    late = await posted(alice, hello, Fairlead_Run=run_id)
    assert late.json()["error"]["data"] == {"code": "run_not_active", "status": 409}


# --- who tries to get in ---


async def test_a_session_is_of_no_use_to_anybody_else_nor_once_it_has_ended(alice: Customer, bob: Customer) -> None:
    await outside(alice)
    await outside(bob)
    session = await begun(alice)
    assert (await posted(alice, rpc("ping"), Mcp_Session_Id=session)).json()["result"] == {}
    _, other = await alice.person(Grant(Role.OWNER))
    for key in (bob.key, other):
        stranger = alice.as_key(key)
        stolen = await stranger.post("/mcp/elsewhere", json=rpc("tools/list"), headers={"Mcp-Session-Id": session})
        assert (stolen.status_code, "result" in stolen.json()) == (404, False)
        ended = await stranger.delete("/mcp/elsewhere", headers={"Mcp-Session-Id": session})
        assert ended.status_code == 404
    for forged in (session[:-1] + ("a" if session[-1] != "a" else "b"), session.replace("_o", "_b"), "x", "é"):
        sent = {b"Mcp-Session-Id": forged.encode()}
        refused = await alice.owner.post("/mcp/elsewhere", json=rpc("ping"), headers=sent)
        assert refused.status_code == 404
    assert (await posted(alice, rpc("ping"))).status_code == 400
    assert (await alice.owner.delete("/mcp/elsewhere", headers={"Mcp-Session-Id": session})).status_code == 204
    assert (await alice.owner.delete("/mcp/elsewhere", headers={"Mcp-Session-Id": session})).status_code == 204
    replayed = await posted(alice, rpc("tools/call", name="basics_echo", arguments=HELLO), Mcp_Session_Id=session)
    assert replayed.status_code == 404


async def test_any_process_serves_a_session_and_two_that_begin_a_run_at_once_begin_the_same(
    alice: Customer, served: Served
) -> None:
    await outside(alice)
    session = await begun(alice)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = rpc("tools/call", name="basics_echo", arguments=HELLO, _meta=meta)
    right = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "basics_echo"}
    async with served.beside() as beside, beside.client(alice.key) as there, alice.owner as here:
        listed = await there.post("/mcp/elsewhere", json=rpc("tools/list"), headers={"Mcp-Session-Id": session})
        assert len(listed.json()["result"]["tools"]) == 4
        both = await asyncio.gather(*(each.post("/mcp/elsewhere", json=call, headers=right) for each in (here, there)))
        assert [each.json()["result"]["isError"] for each in both] == [False, False]
    stateless = [run for run in await runs_of(alice) if "fairlead.session" in run["labels"]]
    assert [run["tool_calls"] for run in stateless] == [2]


async def test_another_tenants_run_and_call_cannot_be_named(url: str, alice: Customer, bob: Customer) -> None:
    workflow = await outside(alice)
    await outside(bob)
    run_id = (await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {}})).json()["run_id"]
    call = await alice.owner.post(f"/v1/runs/{run_id}/tool-calls", json={"tool": ECHO, "arguments": HELLO})
    call_id = call.json()["call_id"]
    async with client(url, bob.key, "2026-07-28") as thief:
        for name, arguments in (("fairlead_await", {"call_id": call_id}),):
            with pytest.raises(MCPError) as refused:
                await thief.call_tool(name, arguments)
            assert "no such" in str(refused.value)
        with pytest.raises(MCPError):
            await thief.session.call_tool("basics_echo", HELLO, request_state=f"{call_id}/1")
    hello = rpc("initialize", protocolVersion="2025-11-25", capabilities={})
    refused_too = await bob.owner.post("/mcp", json=hello, headers={"Fairlead-Run": run_id})
    assert (refused_too.status_code, refused_too.json()["error"]["data"]["code"]) == (404, "run_not_found")


async def test_pages_of_other_origins_are_not_let_in(alice: Customer, served: Served) -> None:
    await outside(alice)
    for origin in ("https://evil.example", "null", "http://fairlead.test"):
        refused = await posted(alice, rpc("ping"), Origin=origin)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, -32600)
    async with served.beside(browser_origins=frozenset({"https://console.example"})) as beside:
        page = beside.client(alice.key)
        hello = rpc("initialize", protocolVersion="2025-11-25", capabilities={})
        let_in = await page.post("/mcp/elsewhere", json=hello, headers={"Origin": "https://console.example"})
        assert let_in.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([rpc("ping")] * 50, 400, -32600),
        ([], 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, 400, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, 400, -32600),
        (rpc("ping", "x" * 101), 400, -32600),
        (rpc("tools/call", name="x" * MAX_BODY_BYTES), 413, -32000),
    ],
)
async def test_what_is_no_message_is_refused(alice: Customer, body: Any, status: int, code: int) -> None:
    refused = await posted(alice, body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


async def test_broken_json_other_types_and_other_methods_are_refused(alice: Customer) -> None:
    await outside(alice)
    sent = {"Content-Type": "application/json"}
    for content in (b"{", b"[" * 100_000, b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}'):
        refused = await alice.owner.post("/mcp/elsewhere", content=content, headers=sent)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32700)
    typed = await alice.owner.post("/mcp/elsewhere", content=b"{}", headers={"Content-Type": "text/plain"})
    assert typed.status_code == 415
    assert (await posted(alice, rpc("ping"), Accept="text/html")).status_code == 406
    assert (await alice.owner.get("/mcp/elsewhere")).status_code == 405
    session = await begun(alice)
    unknown = await posted(alice, rpc("resources/list"), Mcp_Session_Id=session)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (200, -32601)


async def test_a_stateless_request_says_the_same_in_headers_and_body(alice: Customer) -> None:
    await outside(alice)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = rpc("tools/call", name="basics_echo", arguments=HELLO, _meta=meta)
    right = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": "basics_echo"}
    assert (await posted(alice, call, **right)).json()["result"]["resultType"] == "complete"
    for wrong in ({"Mcp_Method": "tools/list"}, {"Mcp_Name": "fairlead_await"}):
        refused = await posted(alice, call, **(right | wrong))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32020)
    bare = rpc("tools/call", name="basics_echo", arguments=HELLO)
    assert (await posted(alice, bare, **right)).json()["error"]["code"] == -32602
    future = await posted(alice, call, **(right | {"MCP_Protocol_Version": "2031-01-01"}))
    assert (future.status_code, future.json()["error"]["code"]) == (400, -32022)
    assert "2026-07-28" in future.json()["error"]["data"]["supported"]
    lost = await posted(alice, rpc("nothing", _meta=meta), **(right | {"Mcp_Method": "nothing"}))
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, -32601)


async def test_a_key_needs_the_scope_to_call_tools_and_a_workflow_that_is_driven_from_outside(
    alice: Customer, bob: Customer
) -> None:
    workflow = await outside(alice)
    scopes = frozenset({Permission.RUN_START, Permission.WORKFLOW_READ})
    _, key = await alice.service_account(Grant(Role.DEVELOPER), scopes=scopes)
    hello = rpc("initialize", protocolVersion="2025-11-25", capabilities={})
    refused = await alice.as_key(key).post("/mcp/elsewhere", json=hello)
    assert (refused.status_code, refused.json()["missing"]) == (403, "tool:call")
    assert (await alice.served.client().post("/mcp/elsewhere", json=hello)).status_code == 401
    foreign = await bob.owner.post(f"/mcp/{workflow}", json=hello)
    assert (foreign.status_code, foreign.json()["error"]["data"]["code"]) == (404, "not_found")
    await publish(alice, echo("a"), name="inside")
    inside = await alice.owner.post("/mcp/inside", json=hello)
    assert inside.status_code == 400
    assert len(await runs_of(alice)) == 0
    assert (await alice.owner.post("/mcp", json=hello)).status_code == 400
    by_header = await alice.owner.post("/mcp", json=hello, headers={"Fairlead-Workflow": workflow})
    assert by_header.status_code == 200


async def test_sessions_of_a_principal_are_bounded(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.api.mcp.sessions.MAX_SESSIONS", 2)
    await outside(alice)
    for _ in range(2):
        await begun(alice)
        await runs_of(alice)  # until the read model has it
    full = await posted(alice, rpc("initialize", protocolVersion="2025-11-25", capabilities={}))
    assert (full.status_code, full.json()["error"]["data"]["code"]) == (429, "too_many_sessions")
    assert full.headers["Retry-After"]
