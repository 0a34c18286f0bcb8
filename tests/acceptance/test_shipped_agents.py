"""The shipped agents over HTTP, with recordings instead of a model: every branch, people included, and a text that
tries to give orders."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Role

from fairlead.bundling import replay
from tests.support.agent_scenarios import DENIED, SCENARIOS, Scenario, settings_in
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.workflows import at_work, started, until, up_to_now

WHY = {"reason": "for a test"}
YAML = {"Content-Type": "application/yaml"}
OVER = ("completed", "failed", "impossible", "capped", "expired")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agents")


@pytest.fixture(autouse=True)
def _desk_as_it_was(place: Path) -> None:
    settings_in(place)


@pytest.fixture(scope="module")
async def served(nats_url: str, database: DatabaseUrls, place: Path) -> AsyncIterator[Served]:
    """Connectors know their desk and their library, and models are recordings."""
    for scenario in SCENARIOS:
        shutil.copytree(scenario.folder / "recordings", place / "recordings", dirs_exist_ok=True)
    known = settings_in(place)
    environment = {
        "FAIRLEAD_CONNECTOR_SUPPORT_DESK_FILE": known["desk_file"],
        "FAIRLEAD_CONNECTOR_LIBRARY_LIBRARY_DIR": known["library_dir"],
    }
    settings = {"model_recordings": place / "recordings"}
    async with (
        in_a_task_of_its_own(served_api(nats_url, database, settings, environment)) as served,
        in_a_task_of_its_own(at_work(served)),
    ):
        yield served


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_scenario_goes_as_it_was_recorded(alice: Customer, scenario: Scenario) -> None:
    workflow = await _published(alice, scenario.folder)
    run_id = await started(alice.owner, workflow, input=scenario.given)
    run = await _with_people(alice, scenario, run_id)
    assert run["status"] == scenario.ends, run
    if scenario.output is not None:
        assert run["output"] == scenario.output
    await _is_decided_again(alice, run_id)
    calls = (await alice.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    assert "support.delete_customer" not in {call["tool"] for call in calls}
    assert all(call["status"] == "denied" for call in calls if _is_large(call)) or scenario.approved


async def test_what_a_text_tried_is_on_record_without_the_text(alice: Customer) -> None:
    scenario = SCENARIOS[3]
    workflow = await _published(alice, scenario.folder)
    run_id = await started(alice.owner, workflow, input=scenario.given)
    await _with_people(alice, scenario, run_id)
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?type=guardrail.")).json()["items"]
    assert {(event["data"]["side"], event["data"]["action"]) for event in timeline} == {("input", "marked")}
    assert "injection.override" in {event["data"]["detector"] for event in timeline}
    assert "Ignore all previous" not in str(timeline)
    asked = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?type=model_call.requested")).json()["items"]
    assert [event["data"]["prompt"] for event in asked] == [{"name": "refund-agent", "version": 1}] * 3


async def test_another_tenant_sees_nothing_of_it(alice: Customer, bob: Customer) -> None:
    run_id = await started(alice.owner, await _published(alice, SCENARIOS[0].folder), input=SCENARIOS[0].given)
    await _with_people(alice, SCENARIOS[0], run_id)
    assert (await bob.owner.get(f"/v1/runs/{run_id}")).status_code == 404
    assert (await bob.owner.get(f"/v1/runs/{run_id}/timeline")).status_code == 404


async def _is_decided_again(customer: Customer, run_id: str) -> None:
    """From its bundle alone, everything comes out as it did."""
    bundle = await customer.owner.get(f"/v1/runs/{run_id}/bundle?unmasked=true", headers=await up_to_now(customer))
    replayed = replay(bundle.content)
    assert replayed.parted is None, replayed
    assert replayed.decided > 0


async def _published(customer: Customer, folder: Path) -> Any:
    name = folder.name
    prompt, workflow = (folder / "prompt.yaml").read_bytes(), (folder / "workflow.yaml").read_bytes()
    answer = await customer.owner.put(f"/v1/prompts/{name}", params=WHY, content=prompt, headers=YAML)
    assert answer.status_code in (200, 201), answer.text
    answer = await customer.owner.put(f"/v1/workflows/{name}", params=WHY, content=workflow, headers=YAML)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["workflow_id"]


async def _with_people(customer: Customer, scenario: Scenario, run_id: str) -> Any:
    """People answer whatever the run waits for, until it is over."""
    people, reviewer = iter(scenario.people), customer.as_key((await customer.person(Grant(Role.REVIEWER)))[1])
    answered: set[str] = set()

    def moved(run: Any) -> bool:
        awaited = run.get("awaited") or {}
        ids = {each["approval_id"] for each in awaited.get("approvals", ())}
        ids |= {each["question_id"] for each in awaited.get("questions", ())}
        return run["status"] in OVER or bool(ids - answered)

    while True:
        run = await until(customer, f"/v1/runs/{run_id}", moved)
        if run["status"] in OVER:
            return run
        for each in run["awaited"].get("approvals", ()):
            if each["approval_id"] not in answered:
                answered.add(each["approval_id"])
                await _sign(customer, reviewer, each["approval_id"], approved=scenario.approved)
        for each in run["awaited"].get("questions", ()):
            if each["question_id"] not in answered:
                answered.add(each["question_id"])
                path = f"/v1/runs/{run_id}/questions/{each['question_id']}/answer"
                answer = await reviewer.post(path, json={"answer": next(people)})
                assert answer.status_code in (200, 202, 204), answer.text


async def _sign(customer: Customer, reviewer: Any, approval_id: str, *, approved: bool) -> None:
    path = f"/v1/approvals/{approval_id}"
    approval = await until(customer, path, lambda each: each["status"] == "pending")
    if approved:
        answer = await reviewer.post(f"{path}/approve", json={"digest": approval["digest"]})
    else:
        answer = await reviewer.post(f"{path}/deny", json={"comment": DENIED})
    assert answer.status_code == 200, answer.text


def _is_large(call: Any) -> bool:
    return bool(call["tool"] == "support.refund_order" and call["arguments"]["amount_minor"] > 5_000)
