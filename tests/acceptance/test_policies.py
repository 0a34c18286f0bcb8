"""Policies over the API: published, put in force, compared, tried and rolled back; another tenant's are not there."""

from typing import Any

import httpx2
import msgspec
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from tests.support.api import Customer
from tests.support.workflows import ECHO, at_work, echo, publish, started, until_status

PATH = "/v1/policies/tenant"
WHY = {"reason": "first try"}
NO_ECHO: dict[str, Any] = {"id": "no-echo", "verdict": "deny", "reason": "too loud", "tools": [ECHO]}


def document(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"fairlead_policy": 1, "rules": list(rules), **fields}


async def put(customer: Customer, body: Any, path: str = PATH, headers: Any = None, **params: Any) -> httpx2.Response:
    return await customer.owner.put(path, params=WHY | params, json=body, headers=headers)


def reaching(answer: httpx2.Response) -> dict[str, str]:
    return {"Fairlead-Position": answer.headers["Fairlead-Position"]}


async def test_a_policy_is_published_compared_tried_and_rolled_back(alice: Customer, bob: Customer) -> None:
    first = await put(alice, document(NO_ECHO))
    assert (first.status_code, first.json()["enforced_version"]) == (201, 1), first.text
    assert (await put(alice, document(NO_ECHO))).status_code == 200
    changed = document(NO_ECHO | {"reason": "much too loud"})
    tried = await put(alice, changed, headers={"If-Match": '"1"'}, mode="log_only")
    assert (tried.json()["enforced_version"], tried.json()["tried_version"]) == (1, 2)
    assert (await put(alice, document(), headers={"If-Match": '"1"'})).status_code == 412
    second = await put(alice, changed)
    assert (second.json()["enforced_version"], second.json()["tried_version"]) == (2, None)
    compared = await alice.owner.get(f"{PATH}/versions/2/difference", headers=reaching(second))
    assert [change["path"] for change in compared.json()["changes"]] == ["/rules/no-echo/reason"]
    back = await alice.owner.post(f"{PATH}/rollback", json={"reason": "too strict"})
    assert back.json()["enforced_version"] == 1
    shown = await alice.owner.get(PATH, headers=reaching(back))
    assert (shown.json()["enforced_version"], shown.json()["newest_version"]) == (1, 2)
    assert (shown.json()["chosen_reason"], shown.json()["chosen_by"]["id"]) == ("too strict", alice.owner_id)
    listed = await alice.owner.get(f"{PATH}/versions")
    assert [(each["version"], each["reason"]) for each in listed.json()["items"]] == [
        (2, "first try"),
        (1, "first try"),
    ]
    one = await alice.owner.get(f"{PATH}/versions/1")
    assert one.json()["document"] == document(NO_ECHO)
    for path in (PATH, f"{PATH}/versions", f"{PATH}/versions/1", f"{PATH}/versions/2/difference"):
        assert (await bob.owner.get(path, headers=reaching(back))).status_code == 404
    assert (await bob.owner.get("/v1/policies")).json()["items"] == []
    assert (await bob.owner.post(f"{PATH}/rollback", json={"reason": "x"})).status_code == 404
    assert (await bob.owner.delete(PATH, params=WHY)).status_code == 404


async def test_a_policy_decides_about_runs_from_its_publication_until_it_is_lifted(
    alice: Customer, bob: Customer
) -> None:
    workflow, theirs = await publish(alice, echo("say")), await publish(bob, echo("say"))
    async with at_work(alice.served):
        made = await put(alice, document(NO_ECHO))
        assert (made.status_code, made.json()["everywhere_within_s"]) == (201, 1.0)
        denied = await until_status(alice, await started(alice.owner, workflow), "failed")
        await until_status(bob, await started(bob.owner, theirs), "completed")
        assert denied["reason_code"] == "denied_by_policy"
        calls = await alice.owner.get(f"/v1/runs/{denied['run_id']}/tool-calls")
        assert [call["rule_id"] for call in calls.json()["items"]] == ["tenant:no-echo"]
        seen = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
        effect = (await alice.owner.get(f"{PATH}/effect", headers=seen)).json()
        assert (effect["enforced_version"], effect["judged_under_it"], effect["judged_otherwise"]) == (1, 1, 0)
        assert effect["since"] == made.json()["since"] or effect["first_after_ms"] >= 0
        assert (await bob.owner.get(f"{PATH}/effect")).status_code == 404
        assert (await alice.owner.delete(PATH, params=WHY)).json()["enforced_version"] is None
        await until_status(alice, await started(alice.owner, workflow), "completed")


async def test_all_that_is_wrong_with_a_policy_is_told_at_once(alice: Customer) -> None:
    wrong = document(NO_ECHO, NO_ECHO | {"when": "args.text >"}, extra=1)
    refused = await put(alice, wrong)
    assert refused.status_code == 422
    assert {"/extra", "/rules/1", "/rules/1/when"} <= {each["path"] for each in refused.json()["errors"]}
    for path in ("/v1/policies/elsewhere", "/v1/policies/workflow.", "/v1/policies/workflow.Not-A-Name"):
        assert (await put(alice, document(), path)).status_code == 404


async def test_a_policy_of_a_workspace_is_for_those_who_may_publish_there(alice: Customer) -> None:
    workspace = WorkspaceId(await alice.workspace_id())
    _, key = await alice.person(Grant(Role.ADMIN, workspace))
    admin = alice.served.client(key)
    here = {"reason": "ours", "workspace_id": workspace}
    assert (await admin.put(PATH, params=WHY, json=document(NO_ECHO))).status_code in (403, 404)
    first = await admin.put("/v1/policies/workspace", params=here, json=document(NO_ECHO))
    made = await admin.put("/v1/policies/workflow.echoes", params=here, json=document(NO_ECHO))
    assert (first.status_code, made.status_code) == (201, 201), made.text
    listed = await admin.get("/v1/policies", headers=reaching(made))
    assert {each["scope"] for each in listed.json()["items"]} == {"workspace", "workflow"}


async def test_a_draft_is_tested_and_a_decision_explained_to_those_who_may_see_it(
    alice: Customer, bob: Customer
) -> None:
    case = {"name": "echo", "call": {"tool": ECHO, "args": {"text": "x"}}, "expect": "allow"}
    tested = await alice.owner.post("/v1/policies/test", json=document(NO_ECHO, cases=[case]))
    assert (tested.json()["valid"], tested.json()["cases"][0]["rule_id"]) == (False, "tenant:no-echo")
    refused = await put(alice, document(NO_ECHO, cases=[case]))
    assert [each["code"] for each in refused.json()["errors"]] == ["case_failed"]
    loud = NO_ECHO | {"when": "size(args.text) > 10"}
    assert (await put(alice, document(loud))).status_code == 201
    workflow = await publish(alice, echo("say", "a text that is long"))
    run_id = await started(alice.owner, workflow)
    denied = await until_status(alice, run_id, "failed")
    calls = await alice.owner.get(f"/v1/runs/{denied['run_id']}/tool-calls")
    asked = {"call_id": calls.json()["items"][0]["call_id"]}
    explained = (await alice.owner.post("/v1/policies/explain", json=asked)).json()
    assert explained["recorded"]["rule_id"] == explained["now"]["decided_by"] == "tenant:no-echo"
    (rule,) = [each for each in explained["now"]["rules"] if each["rule_id"] == "tenant:no-echo"]
    assert (rule["standing"], rule["values"]) == ("applies", {"args.text": "a text that is long"})
    assert (await bob.owner.post("/v1/policies/explain", json=asked)).status_code == 404
    nobody = {"workflow": "echoes", "call": {"tool": ECHO, "args": {"text": "short"}}}
    assert (await alice.owner.post("/v1/policies/explain", json=nobody)).json()["now"]["verdict"] == "allow"
    assert (await bob.owner.post("/v1/policies/explain", json=nobody)).status_code == 404


async def test_a_version_is_tried_on_the_past_call_by_call(alice: Customer, bob: Customer) -> None:
    workflow = await publish(alice, echo("say"), name="echoes")
    async with at_work(alice.served):
        for _ in range(3):
            await until_status(alice, await started(alice.owner, workflow), "completed")
    risky = {"id": "risky", "reason": "it is", "risk": 30}
    never = {"id": "never", "verdict": "deny", "reason": "no", "when": "size(args.text) > 1000"}
    made = await put(alice, document(NO_ECHO, risky, never), mode="log_only")
    path = f"{PATH}/versions/{made.json()['version']}/simulation"
    answer = await alice.owner.get(path, params={"target_share": 1}, headers=reaching(made))
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    *lines, end = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert [(line["then"]["verdict"], line["now"]["rule_id"]) for line in lines] == [("allow", "tenant:no-echo")] * 3
    sums = end["reckoning"]
    assert (sums["runs"], sums["calls"], sums["changed"], sums["reviewed_share"]) == (3, 3, 3, 0)
    assert sums["never_apply"] == ["tenant:never"]
    assert sums["always_apply"] == ["tenant:no-echo", "tenant:risky"]
    assert (await bob.owner.get(path)).status_code == 404


async def test_what_rules_count_is_explained_tried_and_simulated_as_it_would_decide(
    alice: Customer, bob: Customer
) -> None:
    twice: dict[str, Any] = NO_ECHO | {"id": "twice", "at_most": {"count": 2, "per": "args.text"}}
    workflow = await publish(alice, echo("say"), name="echoes")
    tried = await put(alice, document(twice), mode="log_only")
    assert tried.json()["recent"]["calls"] == 0
    async with at_work(alice.served):
        runs = [await started(alice.owner, workflow) for _ in range(3)]
        for run_id in runs:
            await until_status(alice, run_id, "completed")
    rules = [await judged(alice, run_id) for run_id in runs]
    assert sorted(each["trial"]["rule_id"] for each in rules) == ["default.read", "default.read", "tenant:twice"]
    path = f"{PATH}/versions/1/simulation"
    seen = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    *lines, end = (await alice.owner.get(path, headers=seen)).content.splitlines()
    now = [msgspec.json.decode(line)["now"]["rule_id"] for line in lines]
    assert now == ["default.read", "default.read", "tenant:twice"]
    assert msgspec.json.decode(end)["reckoning"]["inexact"] == []
    never = {"id": "never", "verdict": "deny", "reason": "no", "when": "size(args.text) > 1000"}
    risky = {"id": "risky", "reason": "it is", "risk": 30}
    tested = await alice.owner.post("/v1/policies/test", json=document(twice, never, risky), headers=seen)
    recent = tested.json()["recent"]
    assert (recent["calls"], recent["changed"], recent["complete"]) == (3, 1, True)
    assert (recent["never_apply"], recent["always_apply"]) == (["tenant:never"], ["tenant:risky"])
    assert (await bob.owner.post("/v1/policies/test", json=document(never))).json()["recent"]["calls"] == 0
    await put(alice, document(twice))
    fresh = [await explained(alice, run_id) for run_id in runs]
    assert {each["now"]["decided_by"] for each in fresh} == {"default.read"}
    async with at_work(alice.served):
        for status in ("completed", "completed", "failed"):
            runs.append(await started(alice.owner, workflow))
            await until_status(alice, runs[-1], status)
    found = [await explained(alice, run_id) for run_id in runs[3:]]
    assert [each["now"]["decided_by"] for each in found] == ["default.read", "default.read", "tenant:twice"]
    assert [each["recorded"]["rule_id"] for each in found] == ["default.read", "default.read", "tenant:twice"]


async def test_the_share_that_people_were_asked_about_is_told_by_workflow_policy_and_rule(
    alice: Customer, bob: Customer
) -> None:
    asked = await publish(alice, echo("say"), name="asked", result={})
    free = await publish(alice, echo("say"), echo("again"), name="free", result={})
    rule = {"id": "sign", "verdict": "require_approval", "reason": "x", "when": "run.workflow == 'asked'"}
    assert (await put(alice, document(rule))).status_code == 201
    async with at_work(alice.served):
        for workflow, status in ((asked, "waiting_for_approval"), *[(free, "completed")] * 3):
            await until_status(alice, await started(alice.owner, workflow), status)
    seen = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    path = "/v1/policies/review-share"
    found = (await alice.owner.get(path, headers=seen)).json()
    assert (found["all"]["runs"], found["all"]["reviewed_runs"], found["all"]["reviewed_runs_share"]) == (4, 1, 0.25)
    assert (found["all"]["calls"], found["all"]["reviewed_calls"]) == (7, 1)
    assert (found["is_within_target"], found["complete"]) == (False, True)
    shares = {each["workflow"]: each["reviewed_runs_share"] for each in found["by_workflow"]}
    assert shares == {"asked": 1.0, "free": 0.0}
    assert {each["policy"]: each["reviewed_runs"] for each in found["by_policy"]} == {"tenant": 1, "none": 0}
    assert [(each["rule_id"], each["calls"]) for each in found["by_rule"]] == [("tenant:sign", 1), ("default.read", 6)]
    one = (await alice.owner.get(path, params={"workflow": "free", "target_share": 0}, headers=seen)).json()
    assert (one["all"]["runs"], one["is_within_target"]) == (3, True)
    assert (await bob.owner.get(path, headers=seen)).json()["all"]["runs"] == 0
    workspace = WorkspaceId(await alice.workspace_id())
    _, key = await alice.person(Grant(Role.ADMIN, workspace))
    assert (await alice.as_key(key).get(path, headers=seen)).json()["all"]["runs"] == 4


async def judged(customer: Customer, run_id: str) -> Any:
    timeline = await customer.owner.get(f"/v1/runs/{run_id}/timeline?type=tool_call.judged")
    return timeline.json()["items"][0]["data"]


async def explained(customer: Customer, run_id: str) -> Any:
    call_id = (await judged(customer, run_id))["call_id"]
    return (await customer.owner.post("/v1/policies/explain", json={"call_id": call_id})).json()
