"""Runs over the API: started, found, looked at, stepped into; and never another tenant's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Permission, Role
from fairlead_tenants.ids import WorkspaceId
from psycopg import AsyncConnection

from fairlead.api import admission
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.documents import ask
from tests.support.workflows import LONG_S, asking_people, at_work, echo, publish, started, until_status, up_to_now

ASKS = ask("q", schema={"type": "integer"})
WAITS = {"id": "w", "wait": {"signal": "paid"}}


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


# --- starting and looking ---------------------------------------------------------------------------------------------


async def test_a_run_is_accepted_at_once_and_goes_on_by_itself(alice: Customer) -> None:
    workflow = await publish(alice, echo("a"), echo("b"), result={"said": "${steps.b.output.text}"})
    begun = await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {"n": 1}, "labels": {"k": "v"}})
    assert begun.status_code == 202
    assert begun.headers["Location"] == f"/v1/runs/{begun.json()['run_id']}"
    assert int(begun.headers["Fairlead-Position"]) == begun.json()["sequence"] > 0
    run = await until_status(alice, begun.json()["run_id"], "completed")
    assert run["input"] == {"n": 1}
    assert run["output"] == {"said": "hello"}
    assert (run["labels"], run["tool_calls"], run["reason_code"]) == ({"k": "v"}, 2, "completed")


async def test_a_run_can_be_looked_at_before_the_read_model_has_it(alice: Customer) -> None:
    workflow = await publish(alice, ASKS)
    async with alice.owner as client:
        for _ in range(20):
            begun = await client.post("/v1/runs", json={"workflow_id": workflow, "input": {}})
            shown = await client.get(begun.headers["Location"])
            assert shown.status_code == 200
            assert shown.json()["status"] == "waiting_for_input"


async def test_a_workflow_is_named_by_id_or_by_its_name_in_a_workspace_or_in_the_default_one(
    alice: Customer,
) -> None:
    await publish(alice, echo("a"), name="by-name")
    workspace = await alice.workspace_id()
    for place in ({"workspace_id": workspace}, {}):
        named = await alice.owner.post("/v1/runs", json={**place, "workflow": "by-name", "input": {}})
        assert named.status_code == 202
    elsewhere = {"workflow": "by-name", "workspace_id": "wsp_x"}
    for body in ({"workflow": "no-name"}, elsewhere):
        lost = await alice.owner.post("/v1/runs", json={"input": {}, **body})
        assert (lost.status_code, lost.json()["code"]) == (404, "not_found")
    for body in ({}, {"workspace_id": workspace}, {"workflow_id": "wfl_x", "workflow": "x"}):
        refused = await alice.owner.post("/v1/runs", json={"input": {}, **body})
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "/workflow_id")


@pytest.mark.parametrize(
    "body",
    [
        {"workflow_id": "wfl_x"},
        {"workflow_id": "wfl_x", "input": {}, "more": 1},
        {"workflow_id": 1, "input": {}},
        {"workflow_id": "wfl_x", "input": {}, "version": 0},
        {"workflow_id": "wfl_x", "input": {}, "labels": {"Bad key": "v"}},
        {"workflow_id": "wfl_x", "input": {}, "labels": {"k": ""}},
        {"workflow_id": "wfl_x", "input": {}, "labels": {f"k{number}": "v" for number in range(21)}},
    ],
)
async def test_what_is_no_request_for_a_run_is_refused(alice: Customer, body: dict[str, Any]) -> None:
    assert (await alice.owner.post("/v1/runs", json=body)).status_code == 422


async def test_an_input_that_breaks_the_schema_is_refused_with_its_paths(alice: Customer) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    workflow = await publish(alice, echo("a"), input=schema)
    refused = await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {"n": "x"}})
    assert refused.status_code == 422
    assert [error["path"] for error in refused.json()["errors"]] == ["/n"]


async def test_the_same_idempotency_key_starts_one_run(alice: Customer) -> None:
    workflow = await publish(alice, ASKS)
    body, key = {"workflow_id": workflow, "input": {}}, {"Idempotency-Key": "once"}
    first, second = [await alice.owner.post("/v1/runs", json=body, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    listed = await alice.owner.get("/v1/runs", headers={"Fairlead-Position": first.headers["Fairlead-Position"]})
    assert len(listed.json()["items"]) == 1


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_lists_go_on_by_cursor_while_runs_begin(alice: Customer, bob: Customer) -> None:
    workflow = await publish(alice, ASKS)
    runs = [await started(alice.owner, workflow) for _ in range(5)]
    at = await up_to_now(alice)
    first = (await alice.owner.get("/v1/runs?limit=2", headers=at)).json()
    await started(alice.owner, workflow)
    pages, cursor = [first["items"]], first["next_cursor"]
    while cursor:
        page = (await alice.owner.get("/v1/runs", params={"limit": 2, "cursor": cursor})).json()
        pages, cursor = [*pages, page["items"]], page["next_cursor"]
    assert [run["run_id"] for page in pages for run in page] == runs[::-1]
    stolen = await bob.owner.get("/v1/runs", params={"cursor": first["next_cursor"]})
    assert (stolen.status_code, stolen.json()["errors"][0]["path"]) == (422, "/cursor")


async def test_lists_are_narrowed_by_what_runs_are(alice: Customer) -> None:
    workflow = await publish(alice, ASKS)
    blue = await started(alice.owner, workflow, labels={"colour": "blue"})
    await started(alice.owner, workflow)
    at = await up_to_now(alice)
    run = (await alice.owner.get(f"/v1/runs/{blue}", headers=at)).json()
    queries: list[tuple[dict[str, str], int]] = [
        ({"label": "colour:blue"}, 1),
        ({"label": "colour:red"}, 0),
        ({"status": "waiting_for_input"}, 2),
        ({"status": "completed"}, 0),
        ({"workflow_id": workflow}, 2),
        ({"workflow_id": "wfl_other"}, 0),
        ({"workspace_id": run["workspace_id"]}, 2),
        ({"workspace_id": "wsp_other"}, 0),
        ({"started_from": run["started_at"]}, 2),
        ({"started_to": run["started_at"]}, 0),
    ]
    for query, count in queries:
        found = await alice.owner.get("/v1/runs", params=query, headers=at)
        assert (query, len(found.json()["items"])) == (query, count)
    for wrong in ("status=odd", "label=colour", "started_from=2026-01-01T00:00:00", "limit=0"):
        assert (await alice.owner.get(f"/v1/runs?{wrong}")).status_code == 422


# --- permissions and tenants ------------------------------------------------------------------------------------------


async def test_a_role_in_another_workspace_and_a_key_of_another_environment_see_nothing(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, ASKS))
    second = (await alice.owner.post("/v1/workspaces", json={"name": "second"})).json()["workspace_id"]
    _, outsider = await alice.person(Grant(Role.DEVELOPER, workspace_id=WorkspaceId(second)))
    _, tester = await alice.person(Grant(Role.DEVELOPER), kind="test")
    at = await up_to_now(alice)
    for key in (outsider, tester):
        client = alice.as_key(key)
        assert (await client.get("/v1/runs", headers=at)).json()["items"] == []
        for path in ("", "/timeline", "/state", "/tool-calls", "/questions", "/events"):
            assert (await client.get(f"/v1/runs/{run_id}{path}", headers=at)).status_code == 404
        assert (await client.post(f"/v1/runs/{run_id}/cancel", json={"reason": "x"})).status_code == 404


async def test_who_may_only_look_may_do_nothing_and_who_may_only_signal_may_not_look(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, WAITS))
    _, auditor = await alice.person(Grant(Role.AUDITOR))
    refused = await alice.as_key(auditor).post(f"/v1/runs/{run_id}/pause", json={"reason": "x"})
    assert (refused.status_code, refused.json()["missing"]) == (403, "run:control")
    _, narrow = await alice.person(Grant(Role.DEVELOPER), scopes=frozenset({Permission.RUN_SIGNAL}))
    assert (await alice.as_key(narrow).get(f"/v1/runs/{run_id}")).status_code == 403
    sent = await alice.as_key(narrow).post(f"/v1/runs/{run_id}/signals", json={"signal_id": "s", "name": "paid"})
    assert sent.json() == {"run_id": run_id, "effect": "continued"}


async def test_another_tenant_finds_nothing_anywhere(alice: Customer, bob: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), ASKS, WAITS))
    run = await until_status(alice, run_id, "waiting_for_input")
    question_id = run["awaited"]["questions"][0]["question_id"]
    calls = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    reads = ["", "/timeline", "/state?at=1", "/tool-calls", "/questions", "/events", "/export"]
    for path in [*(f"/v1/runs/{run_id}{read}" for read in reads), f"/v1/tool-calls/{calls[0]['call_id']}"]:
        assert (await alice.owner.get(path.replace("/events", ""))).status_code == 200
        assert (path, (await bob.owner.get(path)).status_code) == (path, 404)
    reason = {"reason": "x"}
    writes: list[tuple[str, Any]] = [
        ("/pause", reason),
        ("/resume", reason),
        ("/cancel", reason),
        ("/signals", {"signal_id": "s", "name": "paid"}),
        (f"/questions/{question_id}/answer", {"answer": 1}),
        ("/steps/a/retry", reason),
        ("/steps/a/skip", reason),
        ("/steps/a/supply", {**reason, "output": {}}),
        ("/fork", {**reason, "at_version": 1}),
    ]
    for path, body in writes:
        assert (path, (await bob.owner.post(f"/v1/runs/{run_id}{path}", json=body)).status_code) == (path, 404)
    assert (await bob.owner.get("/v1/runs")).json()["items"] == []
    assert (await alice.owner.get(f"/v1/runs/{run_id}/state")).json()["versions"] == run["version"]


# --- stepping in ------------------------------------------------------------------------------------------------------


async def test_a_run_is_paused_resumed_and_cancelled_and_then_takes_nothing_more(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, ASKS))
    for action, status in (("pause", "paused"), ("pause", "paused"), ("resume", "waiting_for_input")):
        done = await alice.owner.post(f"/v1/runs/{run_id}/{action}", json={"reason": f"to {action}"})
        assert (done.status_code, done.json()["status"]) == (200, status)
    for _ in range(2):
        done = await alice.owner.post(f"/v1/runs/{run_id}/cancel", json={"reason": "a mistake"})
        assert (done.status_code, done.json()["status"]) == (200, "cancelled")
    before = await _types(alice, run_id)
    assert before[-3:] == ["run.paused.v1", "run.resumed.v1", "run.cancelled.v1"]
    for action, body in (
        ("resume", {"reason": "x"}),
        ("pause", {"reason": "x"}),
        ("signals", {"signal_id": "s", "name": "n"}),
        ("steps/q/skip", {"reason": "x"}),
    ):
        refused = await alice.owner.post(f"/v1/runs/{run_id}/{action}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "run_not_active")
        assert "cancelled" in refused.json()["detail"]
    assert await _types(alice, run_id) == before


async def test_a_question_is_answered_by_who_may_and_as_it_was_asked(alice: Customer) -> None:
    asks = ask("q", schema={"type": "integer"}, roles=["reviewer"])
    run_id = await started(alice.owner, await publish(alice, asks, result={"n": "${steps.q.output}"}))
    (question,) = (await alice.owner.get(f"/v1/runs/{run_id}/questions")).json()
    path = f"/v1/runs/{run_id}/questions/{question['question_id']}/answer"
    _, reviewer = await alice.person(Grant(Role.REVIEWER))
    as_owner = await alice.owner.post(path, json={"answer": 3})
    assert (as_owner.status_code, as_owner.json()["code"]) == (403, "may_not_answer")
    unfit = await alice.as_key(reviewer).post(path, json={"answer": "three"})
    assert unfit.status_code == 422
    answered = await alice.as_key(reviewer).post(path, json={"answer": 3})
    assert answered.json()["status"] == "completed"
    again = await alice.as_key(reviewer).post(path, json={"answer": 3})
    assert again.status_code == 409
    nothing = await alice.owner.post(f"/v1/runs/{run_id}/questions/qst_nothing/answer", json={"answer": 3})
    assert nothing.status_code == 409
    run = (await alice.owner.get(f"/v1/runs/{run_id}", headers=await up_to_now(alice))).json()
    assert run["output"] == {"n": 3}


async def test_a_signal_sent_twice_continues_once_and_an_early_one_is_kept(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, ASKS, WAITS, {"id": "w2", "wait": {"signal": "paid"}}))
    path = f"/v1/runs/{run_id}/signals"
    early = {"signal_id": "early", "name": "paid"}
    effects = [(await alice.owner.post(path, json=early)).json()["effect"] for _ in range(2)]
    question = (await alice.owner.get(f"/v1/runs/{run_id}/questions")).json()[0]["question_id"]
    await alice.owner.post(f"/v1/runs/{run_id}/questions/{question}/answer", json={"answer": 1})
    for _ in range(2):
        sent = await alice.owner.post(path, json={"signal_id": "late", "name": "paid", "payload": {"by": "bank"}})
        effects.append(sent.json().get("effect") or sent.json()["code"])
    assert effects == ["kept", "seen_before", "continued", "run_not_active"]
    assert (await _types(alice, run_id)).count("run.signal_received.v1") == 2


async def test_a_signal_by_label_continues_every_run_under_way_that_bears_it(alice: Customer, bob: Customer) -> None:
    workflow, others = await publish(alice, WAITS), await publish(bob, WAITS)
    labelled = [await started(alice.owner, workflow, labels={"invoice": "4711"}) for _ in range(3)]
    await alice.owner.post(f"/v1/runs/{labelled[0]}/cancel", json={"reason": "x"})
    await started(alice.owner, workflow, labels={"invoice": "4712"})
    await started(bob.owner, others, labels={"invoice": "4711"})
    body = {"signal_id": "s1", "name": "paid", "label": {"key": "invoice", "value": "4711"}}
    sent = await alice.owner.post("/v1/signals", json=body, headers=await up_to_now(alice))
    assert sent.json() == {"runs": [{"run_id": run, "effect": "continued"} for run in labelled[1:]]}
    at = {"Fairlead-Position": sent.headers["Fairlead-Position"]}
    assert (await alice.owner.post("/v1/signals", json=body, headers=at)).json() == {"runs": []}
    waiting = (await bob.owner.get("/v1/runs", headers=await up_to_now(alice))).json()["items"]
    assert [run["status"] for run in waiting] == ["waiting_for_signal"]


async def test_an_operator_skips_and_supplies_and_each_repair_is_on_the_timeline_by_name(alice: Customer) -> None:
    steps = [ASKS, {"id": "w", "wait": {"signal": "paid"}}]
    run_id = await started(alice.owner, await publish(alice, *steps, result={"got": "${steps.w.output.x}"}))
    operator_id, key = await alice.person(Grant(Role.OPERATOR))
    operator = alice.as_key(key)
    assert (await operator.post(f"/v1/runs/{run_id}/steps/w/skip", json={"reason": "x"})).status_code == 409
    retried = await operator.post(f"/v1/runs/{run_id}/steps/q/retry", json={"reason": "x"})
    assert (retried.status_code, retried.json()["code"]) == (409, "nothing_to_repair")
    skipped = await operator.post(f"/v1/runs/{run_id}/steps/q/skip", json={"reason": "nobody knows"})
    assert skipped.json()["status"] == "waiting_for_signal"
    done = await operator.post(f"/v1/runs/{run_id}/steps/w/supply", json={"reason": "by phone", "output": {"x": 5}})
    assert done.json()["status"] == "completed"
    at = await up_to_now(alice)
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?type=run.step_repaired", headers=at)).json()["items"]
    assert [(event["data"]["repair"], event["data"]["reason"]) for event in timeline] == [
        ("skipped", "nobody knows"),
        ("result_supplied", "by phone"),
    ]
    assert {event["actor"]["id"] for event in timeline} == {operator_id}
    _, developer = await alice.person(Grant(Role.DEVELOPER))
    refused = await alice.as_key(developer).post(f"/v1/runs/{run_id}/steps/w/skip", json={"reason": "x"})
    assert (refused.status_code, refused.json()["missing"]) == (403, "run:repair")


async def test_a_result_that_the_steps_tool_cannot_give_is_refused_with_its_paths_and_changes_nothing(
    alice: Customer,
) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), **asking_people()))
    before = (await until_status(alice, run_id, "waiting_for_approval"))["version"]
    _, key = await alice.person(Grant(Role.OPERATOR))
    supply, operator = f"/v1/runs/{run_id}/steps/a/supply", alice.as_key(key)
    refused = await operator.post(supply, json={"reason": "by phone", "output": {"text": 5, "more": 1}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert sorted(error["path"] for error in refused.json()["errors"]) == ["/output/more", "/output/text"]
    assert (await alice.owner.get(f"/v1/runs/{run_id}")).json()["version"] == before
    done = await operator.post(supply, json={"reason": "by phone", "output": {"text": "hello"}})
    assert (done.status_code, done.json()["status"]) == (200, "completed")


async def test_a_fork_begins_where_it_is_told_and_leaves_its_parent_as_it_is(alice: Customer) -> None:
    parent = await started(alice.owner, await publish(alice, echo("a"), ASKS, result={"n": "${steps.q.output}"}))
    before = await until_status(alice, parent, "waiting_for_input")
    history = (await alice.owner.get(f"/v1/runs/{parent}/timeline")).json()["items"]
    forked = await alice.owner.post(
        f"/v1/runs/{parent}/fork", json={"at_version": before["version"], "reason": "another answer"}
    )
    assert forked.status_code == 202
    child = forked.json()["run_id"]
    question = (await alice.owner.get(f"/v1/runs/{child}/questions")).json()[0]["question_id"]
    await alice.owner.post(f"/v1/runs/{child}/questions/{question}/answer", json={"answer": 7})
    run = await until_status(alice, child, "completed")
    assert (run["parent"], run["output"]) == ({"run_id": parent, "version": before["version"]}, {"n": 7})
    at = await up_to_now(alice)
    assert (await alice.owner.get(f"/v1/runs/{parent}/timeline", headers=at)).json()["items"] == history
    assert (await alice.owner.get(f"/v1/runs/{parent}", headers=at)).json() == before
    for version in (0, before["version"] + 1):
        refused = await alice.owner.post(f"/v1/runs/{parent}/fork", json={"at_version": version, "reason": "x"})
        assert refused.status_code in (409, 422)


# --- timeline, state, calls -------------------------------------------------------------------------------------------


async def test_the_timeline_is_whole_and_what_is_shown_of_a_run_is_in_it(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), echo("b"), result={}))
    run = await until_status(alice, run_id, "completed")
    events = await _timeline(alice, run_id, limit=3)
    assert [event["version"] for event in events] == list(range(1, run["version"] + 1))
    places = [tuple(map(int, event["position"].split("-"))) for event in events]
    assert places == sorted(places)
    begin, last = events[0], events[-1]
    assert run["started_by"] == begin["actor"]
    assert {name: begin["data"][name] for name in ("workflow_hash", "policy_version", "labels", "input")} == {
        name: run[name] for name in ("workflow_hash", "policy_version", "labels", "input")
    }
    assert (last["type"], last["at"], last["data"]["output"]) == ("run.completed.v1", run["ended_at"], run["output"])
    calls = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    assert [call["step"] for call in calls] == ["a", "b"]
    by_type = {(event["type"], event["data"].get("call_id")): event for event in events}
    for call in calls:
        requested = by_type["tool_call.requested.v1", call["call_id"]]
        judged = by_type["tool_call.judged.v1", call["call_id"]]
        completed = by_type["tool_call.completed.v1", call["call_id"]]
        assert call["arguments"] == requested["data"]["arguments"]
        assert (call["verdict"], call["rule_id"]) == (judged["data"]["verdict"], judged["data"]["rule_id"])
        assert (call["output"], call["updated_at"]) == (completed["data"]["output"], completed["at"])
        assert (await alice.owner.get(f"/v1/tool-calls/{call['call_id']}")).json() == call
    only_calls = await _timeline(alice, run_id, limit=2, type="tool_call.")
    assert only_calls == [event for event in events if event["type"].startswith("tool_call.")]


async def test_the_state_is_shown_as_it_was_after_every_event(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), ASKS, result={}))
    await until_status(alice, run_id, "waiting_for_input")
    await alice.owner.post(f"/v1/runs/{run_id}/pause", json={"reason": "lunch"})
    newest = (await alice.owner.get(f"/v1/runs/{run_id}/state")).json()
    events = await _timeline(alice, run_id)
    states = [(await alice.owner.get(f"/v1/runs/{run_id}/state?at={n + 1}")).json() for n in range(len(events))]
    assert states[-1] == newest
    for event, state in zip(events, states, strict=True):
        assert (state["version"], state["position"], state["event_type"], state["at"]) == (
            event["version"],
            event["position"],
            event["type"],
            event["at"],
        )
    assert [state["used"]["tool_calls"] for state in states] == [0, *([1] * (len(states) - 1))]
    settled = next(index for index, event in enumerate(events) if event["type"] == "tool_call.completed.v1")
    assert all(state["outcomes"] == {} for state in states[:settled])
    assert states[settled]["outcomes"]["a"]["output"] == events[settled]["data"]["output"]
    assert (newest["status"], newest["paused_reason"], newest["open"].keys()) == ("paused", "lunch", {"q"})
    for version in (0, len(events) + 1):
        assert (await alice.owner.get(f"/v1/runs/{run_id}/state?at={version}")).status_code == 422


async def test_new_runs_are_refused_while_more_waits_than_is_set_and_taken_again_afterwards(
    alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MEASURED_FOR_S", 0.0)
    workflow = await publish(alice, ASKS)
    async with alice.served.beside(backlog_limit=1) as strict:
        owner, body = replace(alice, served=strict).owner, {"workflow_id": workflow, "input": {}}
        async with _read_models_stand_still(alice):
            run_ids = [await started(alice.owner, workflow) for _ in range(2)]
            before = await alice.served.core.log.last_sequence()
            refused = await owner.post("/v1/runs", json=body)
            assert (refused.status_code, refused.json()["code"]) == (429, "backlog_full")
            assert int(refused.headers["Retry-After"]) > 0
            assert await alice.served.core.log.last_sequence() == before
        shown = (await alice.owner.get("/v1/runs", headers=await up_to_now(alice))).json()["items"]
        assert {run["run_id"] for run in shown} == set(run_ids)
        positions, reached = alice.served.parts.positions, await alice.served.core.log.last_sequence()
        assert await positions.reached([each.name for each in await alice.served.parts.lag()], reached, LONG_S)
        assert (await owner.post("/v1/runs", json=body)).status_code == 202


@asynccontextmanager
async def _read_models_stand_still(customer: Customer) -> AsyncIterator[None]:
    url = customer.served.core.settings.database_engine_url
    async with await AsyncConnection.connect(url or "") as held:
        await held.execute("SELECT FROM projection_positions FOR UPDATE")
        yield
        await held.rollback()


async def _timeline(customer: Customer, run_id: str, **params: Any) -> list[Any]:
    found: list[Any] = []
    at, cursor = await up_to_now(customer), None
    while True:
        page = await customer.owner.get(
            f"/v1/runs/{run_id}/timeline", params={**params, **cursor} if cursor else params, headers=at
        )
        found += page.json()["items"]
        if (next_cursor := page.json()["next_cursor"]) is None:
            return found
        cursor = {"cursor": next_cursor}


async def _types(customer: Customer, run_id: str) -> list[str]:
    return [event["type"] for event in await _timeline(customer, run_id, limit=200)]


PUT = {
    "id": "put",
    "call": "storage.put_object",
    "with": {"key": "notes/1", "media_type": "text/plain", "text": "for us alone"},
}
GET = {"id": "get", "call": "storage.get_object", "with": {"key": "notes/1"}}
STORES = {"tools": ["storage.put_object", "storage.get_object"], "writes": ["object"], "output": {}}
FREELY = {"rules": [{"id": "all", "effects": ["write"], "verdict": "allow", "reason": "a test"}]}


async def test_what_a_run_puts_into_our_object_store_is_there_for_its_tenant_and_for_nobody_else(
    alice: Customer, bob: Customer
) -> None:
    text = {"text": "${steps.get.output.text}"}
    for name, steps in (("keeps", (PUT, GET)), ("reads", (GET,))):
        workflow = await publish(alice, *steps, name=name, policy=FREELY, result=text, **STORES)
        ended = await until_status(alice, await started(alice.owner, workflow), "completed")
        assert ended["output"] == {"text": "for us alone"}
    workflow = await publish(bob, GET, name="reads", policy=FREELY, result=text, **STORES)
    ended = await until_status(bob, await started(bob.owner, workflow), "failed")
    assert ended["reason_code"] == "not_found"
