"""From an action to its reasons, and from a bad run to a case that is decided again elsewhere."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from fairlead_tenants.access import Grant, Role

from fairlead.__main__ import main
from fairlead.api.bundle_schema import bundle_schema
from fairlead.cli.exits import Exit
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.workflows import asking_people, at_work, echo, publish, started, until, until_status


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def done(customer: Customer) -> tuple[str, str]:
    """A run of two calls, and its second call."""
    second = {"id": "b", "call": "basics.echo", "with": {"text": "${ steps.a.output.text }"}}
    run_id = await started(customer.owner, await publish(customer, echo("a"), second, result={}))
    await until_status(customer, run_id, "completed")
    calls = (await customer.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    return run_id, calls[1]["call_id"]


def nodes(why: dict[str, Any]) -> list[dict[str, Any]]:
    return [why, *(inner for each in why["because"] for inner in nodes(each))]


async def test_every_reason_of_a_call_names_an_event_that_its_timeline_has(alice: Customer, bob: Customer) -> None:
    run_id, call_id = await done(alice)
    why = (await alice.owner.get(f"/v1/tool-calls/{call_id}/why")).json()
    assert [each["part"] for each in why["because"]] == ["plan", "result", "rule", "effect"]
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?limit=200")).json()["items"]
    types = {event["position"]: event["type"] for event in timeline}
    for node in nodes(why):
        if node["stream"] != "workflow":
            assert types[node["position"]] == node["type"]
    ending = (await alice.owner.get(f"/v1/runs/{run_id}/why")).json()
    assert (ending["part"], ending["type"]) == ("ending", "run.completed.v1")
    for path in (f"/v1/tool-calls/{call_id}/why", f"/v1/runs/{run_id}/why", f"/v1/runs/{run_id}/bundle"):
        assert (await bob.owner.get(path)).status_code == 404


async def test_a_call_that_waits_for_people_is_explained_too_and_its_run_has_no_ending_yet(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), **asking_people()))
    await until_status(alice, run_id, "waiting_for_approval")
    await until(alice, "/v1/approvals", lambda page: any(each["run_id"] == run_id for each in page["items"]))
    (call,) = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    why = (await alice.owner.get(f"/v1/tool-calls/{call['call_id']}/why")).json()
    (rule,) = (each for each in why["because"] if each["part"] == "rule")
    assert (rule["facts"]["rule_id"], rule["facts"]["rule"]["verdict"]) == ("sign", "require_approval")
    (approval,) = (each for each in why["because"] if each["part"] == "approval")
    assert [each["type"] for each in approval["because"]] == ["approval.requested.v1"]
    refused = await alice.owner.get(f"/v1/runs/{run_id}/why")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_ended")


async def test_a_bad_run_becomes_a_case_that_is_decided_again_elsewhere(
    alice: Customer, bob: Customer, tmp_path: Path
) -> None:
    rule = {"id": "thrice", "verdict": "deny", "reason": "often enough", "at_most": {"count": 3}}
    thrice = {"fairlead_policy": 1, "rules": [rule]}
    put = await alice.owner.put("/v1/policies/tenant", params={"reason": "enough"}, json=thrice)
    assert put.status_code == 201, put.text
    run_id, call_id = await done(alice)
    report = {"label": "wrong_action", "comment": "it said it thrice", "call_id": call_id, "expected": {"text": "x"}}
    made = await alice.owner.post(f"/v1/runs/{run_id}/reports", json=report)
    assert made.status_code == 201, made.text
    case, seen = made.json(), {"Fairlead-Position": made.headers["fairlead-position"]}
    (listed,) = (await alice.owner.get("/v1/cases", params={"run_id": run_id}, headers=seen)).json()["items"]
    assert (listed["case_id"], listed["label"], listed["call_id"]) == (case["case_id"], "wrong_action", call_id)
    bundle = (await alice.owner.get(f"/v1/cases/{case['case_id']}/bundle")).json()
    jsonschema_rs.Draft202012Validator(bundle_schema()).validate(bundle)
    assert await replayed(tmp_path, bundle) == (Exit.OK, None)
    changed = json.loads(json.dumps(bundle))
    changed["workflow"]["document"]["steps"][1]["with"]["text"] = "other"
    (layer,) = bundle["policy"]["in_force"][0]["layers"]
    assert (layer["kind"], layer["document"]) == ("tenant", thrice)
    assert [place["rank"] for place in bundle["policy"]["places"]] == [1, 2]
    exit_code, parted = await replayed(tmp_path, bundle, changed["workflow"]["document"])
    assert (exit_code, parted["recorded"]["step"]) == (Exit.REFUSED, "b")
    assert (await bob.owner.get(f"/v1/cases/{case['case_id']}")).status_code == 404
    assert (await bob.owner.get(f"/v1/cases/{case['case_id']}/bundle")).status_code == 404
    assert (await bob.owner.post(f"/v1/runs/{run_id}/reports", json=report)).status_code == 404
    brought = await bob.owner.post("/v1/cases", json={"bundle": bundle, "label": "other"})
    assert brought.status_code == 201, brought.text
    assert brought.json()["bundle_sha256"] == case["bundle_sha256"]
    kept = await bob.owner.get(f"/v1/cases/{brought.json()['case_id']}/bundle")
    assert kept.json()["history"] == bundle["history"]
    forged = await bob.owner.post("/v1/cases", json={"bundle": changed, "label": "other"})
    assert (forged.status_code, forged.json()["errors"][0]["code"]) == (422, "changed")


async def replayed(folder: Path, bundle: Any, document: Any = None) -> tuple[int, Any]:
    """How `fairlead bundle replay` ends, and where the decisions part."""
    (folder / "run").write_text(json.dumps(bundle))
    words = ["bundle", "replay", str(folder / "run"), "-o", "json"]
    if document is not None:
        (folder / "document").write_text(json.dumps(document))
        words += ["--document", str(folder / "document")]
    result = await asyncio.to_thread(CliRunner().invoke, main, words)
    return result.exit_code, json.loads(result.stdout)["parted"]


async def test_reviewers_report_and_auditors_only_read(alice: Customer) -> None:
    run_id, _ = await done(alice)
    _, reviewer = await alice.person(Grant(Role.REVIEWER))
    _, auditor = await alice.person(Grant(Role.AUDITOR))
    report = {"label": "unsafe"}
    assert (await alice.as_key(reviewer).post(f"/v1/runs/{run_id}/reports", json=report)).status_code == 201
    assert (await alice.as_key(auditor).post(f"/v1/runs/{run_id}/reports", json=report)).status_code == 403
    assert (await alice.as_key(auditor).get("/v1/cases")).status_code == 200
    wrong = await alice.owner.post(f"/v1/runs/{run_id}/reports", json=report | {"call_id": "tcl_other-1"})
    assert wrong.status_code == 422
