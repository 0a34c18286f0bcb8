"""Agents elsewhere over REST: they ask for calls, are told what came of them, and end their runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Permission, Role

from fairlead.domain.ids import WorkflowId
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.workflows import (
    ECHO,
    asking_people,
    at_work,
    publish,
    started,
    the_approval,
    until_status,
    up_to_now,
)

HELLO = {"tool": ECHO, "arguments": {"text": "hello"}, "wait_s": 10}


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def outside(customer: Customer, name: str = "elsewhere", **fields: Any) -> WorkflowId:
    return await publish(customer, planner="outside", name=name, **fields)


async def asked(client: httpx2.AsyncClient, run_id: str, body: Any = HELLO, **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(f"/v1/runs/{run_id}/tool-calls", json=body, headers=sent)


async def test_an_agent_calls_a_tool_and_finishes_and_the_run_has_a_timeline_like_any_other(alice: Customer) -> None:
    run_id = await started(alice.owner, await outside(alice))
    (offered,) = (await alice.owner.get(f"/v1/runs/{run_id}/tools")).json()["tools"]
    assert (offered["name"], offered["effect"]) == (ECHO, "read")
    assert "text" in str(offered["input_schema"])
    answer = await asked(alice.owner, run_id)
    assert answer.status_code == 200, answer.text
    call = answer.json()
    assert (call["status"], call["output"]["text"], call["error"]) == ("completed", "hello", None)
    ended = await alice.owner.post(f"/v1/runs/{run_id}/finish", json={"output": {"n": 1}})
    assert (ended.status_code, ended.json()["status"]) == (200, "completed")
    at = await up_to_now(alice)
    run = (await alice.owner.get(f"/v1/runs/{run_id}", headers=at)).json()
    assert (run["planner"], run["tool_calls"], run["output"]) == ("outside", 1, {"n": 1})
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline", headers=at)).json()["items"]
    assert [event["type"] for event in timeline] == [
        "run.started.v1",
        "tool_call.asked.v1",
        "tool_call.requested.v1",
        "tool_call.judged.v1",
        "tool_call.dispatched.v1",
        "tool_call.completed.v1",
        "run.completed.v1",
    ]
    why = await alice.owner.get(f"/v1/tool-calls/{call['call_id']}/why", headers=at)
    assert why.status_code == 200
    for path in ("export?format=csv", "export?format=json", "bundle"):
        assert (await alice.owner.get(f"/v1/runs/{run_id}/{path}", headers=at)).status_code == 200


async def test_a_denial_is_an_answer_with_its_rule_and_reason(alice: Customer) -> None:
    rule = {"id": "never", "tools": [ECHO], "verdict": "deny", "reason": "echoes are forbidden"}
    run_id = await started(alice.owner, await outside(alice, policy={"rules": [rule]}))
    denied = await asked(alice.owner, run_id)
    assert denied.status_code == 200
    error = denied.json()["error"]
    assert denied.json()["status"] == "denied"
    assert (error["rule_id"], error["message"]) == ("never", "echoes are forbidden")
    unlisted = (await asked(alice.owner, run_id, {"tool": "basics.nothing", "arguments": {}})).json()
    assert (unlisted["status"], unlisted["error"]["rule_id"]) == ("denied", "default.not_on_allow_list")
    broken = (await asked(alice.owner, run_id, {"tool": ECHO, "arguments": {"nobody": 1}})).json()
    assert (broken["status"], broken["error"]["error_class"]) == ("failed", "validation")


async def test_a_call_that_people_are_asked_about_is_pending_and_can_be_waited_for(alice: Customer) -> None:
    run_id = await started(alice.owner, await outside(alice, **asking_people()))
    pending = await asked(alice.owner, run_id, HELLO | {"wait_s": 0})
    assert pending.status_code == 202
    shown, place = pending.json(), pending.headers["Location"]
    assert (shown["status"], shown["waits_for"]) == ("waiting", "approval")
    approval = await the_approval(alice, run_id)
    assert (shown["approval"]["approval_id"], shown["approval"]["rule_id"]) == (approval["approval_id"], "sign")
    early = await alice.owner.post(f"/v1/runs/{run_id}/finish", json={"output": {}})
    assert (early.status_code, early.json()["code"]) == (409, "calls_still_open")
    _, key = await alice.person(Grant(Role.REVIEWER))
    async with alice.owner as agent, asyncio.TaskGroup() as group:
        waiting = group.create_task(agent.get(place, params={"wait_s": 25}))
        signed = await alice.as_key(key).post(
            f"/v1/approvals/{approval['approval_id']}/approve", json={"digest": approval["digest"]}
        )
        assert signed.status_code == 200, signed.text
    assert (waiting.result().json()["status"], waiting.result().json()["output"]["text"]) == ("completed", "hello")


async def test_the_same_key_makes_one_call_and_one_answer(alice: Customer) -> None:
    run_id = await started(alice.owner, await outside(alice))
    first, again = [await asked(alice.owner, run_id, Idempotency_Key="once") for _ in range(2)]
    assert first.json() == again.json()
    other = await asked(alice.owner, run_id, HELLO | {"arguments": {"text": "bye"}}, Idempotency_Key="once")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    calls = await alice.owner.get(f"/v1/runs/{run_id}/tool-calls", headers=await up_to_now(alice))
    assert len(calls.json()["items"]) == 1


async def test_nobody_but_its_starter_drives_a_run(alice: Customer, bob: Customer) -> None:
    workflow = await outside(alice)
    scopes = frozenset({Permission.WORKFLOW_READ, Permission.RUN_START, Permission.TOOL_CALL})
    _, mine = await alice.service_account(Grant(Role.DEVELOPER), scopes=scopes)
    _, other = await alice.service_account(Grant(Role.DEVELOPER), scopes=scopes)
    run_id = await started(alice.as_key(mine), workflow)
    call_id = (await asked(alice.as_key(mine), run_id)).json()["call_id"]
    place = f"/v1/runs/{run_id}/tool-calls/{call_id}"
    assert (await alice.as_key(mine).get(place)).status_code == 200
    strangers = {(bob.key, 404), (other, 404), (alice.key, 403)}
    for key, status in strangers:
        client = alice.as_key(key)
        for path, body in (("tool-calls", HELLO), ("finish", {"output": {}}), ("give-up", {"reason": "x"})):
            refused = await client.post(f"/v1/runs/{run_id}/{path}", json=body)
            assert refused.status_code == status, (path, refused.text)
        assert (await client.get(place)).status_code == 404
    _, reader = await alice.person(Grant(Role.AUDITOR))
    assert (await asked(alice.as_key(reader), run_id)).status_code == 403


async def test_a_run_with_its_own_planner_is_not_driven(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, {"id": "w", "wait": {"signal": "paid"}}))
    refused = await asked(alice.owner, run_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_driven_from_outside")


async def test_an_agent_gives_up_or_fails_in_its_own_words(alice: Customer) -> None:
    workflow = await outside(alice)
    ends = {
        "give-up": ({"reason": "no such order"}, "impossible"),
        "fail": ({"code": "no_model", "message": "it is gone"}, "failed"),
    }
    for path, (body, status) in ends.items():
        run_id = await started(alice.owner, workflow)
        ended = await alice.owner.post(f"/v1/runs/{run_id}/{path}", json=body)
        assert ended.json()["status"] == status
        late = await asked(alice.owner, run_id)
        assert (late.status_code, late.json()["code"]) == (409, "run_not_active")


async def test_a_budget_counts_and_denies_at_this_door_as_at_any(alice: Customer) -> None:
    workflow = await outside(alice)
    one_call = {"scope": "run", "scope_id": "*", "caps": {"calls": 1}, "reason": "one is enough"}
    assert (await alice.owner.put("/v1/budgets/each", json=one_call)).status_code == 200
    run_id = await started(alice.owner, workflow)
    first, second = [(await asked(alice.owner, run_id)).json() for _ in range(2)]
    assert (first["status"], second["status"], second["error"]["code"]) == ("completed", "denied", "denied_by_budget")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tool": ""},
        {"tool": "x" * 129},
        HELLO | {"wait_s": 10.1},
        HELLO | {"wait_s": -1},
        HELLO | {"arguments": []},
        HELLO | {"more": 1},
    ],
)
async def test_what_is_no_request_for_a_call_is_refused(alice: Customer, body: Any) -> None:
    run_id = await started(alice.owner, await outside(alice))
    assert (await asked(alice.owner, run_id, body)).status_code == 422


async def test_calls_are_stopped_by_a_pause_and_go_on_after_it(alice: Customer) -> None:
    run_id = await started(alice.owner, await outside(alice))
    await alice.owner.post(f"/v1/runs/{run_id}/pause", json={"reason": "look"})
    held = await asked(alice.owner, run_id, HELLO | {"wait_s": 0})
    assert (held.status_code, held.json()["waits_for"], held.json()["run_status"]) == (202, "run", "paused")
    await alice.owner.post(f"/v1/runs/{run_id}/resume", json={"reason": "fine"})
    shown = await alice.owner.get(held.headers["Location"], params={"wait_s": 25})
    assert shown.json()["status"] == "completed"
    await alice.owner.post(f"/v1/runs/{run_id}/cancel", json={"reason": "enough"})
    await until_status(alice, run_id, "cancelled")
