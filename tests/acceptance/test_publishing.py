"""Workflows over the API: published from YAML or JSON, versioned, and another tenant's are not there."""

from pathlib import Path

import httpx2
import yaml
from fairlead_tenants.access import Grant, Role

from tests.support.api import Customer

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "invoice-match" / "workflow.yaml"
TEXT = EXAMPLE.read_bytes()
YAML = {"Content-Type": "application/yaml"}
WHY = {"reason": "first try"}
PATH = "/v1/workflows/invoice-match"


async def published(customer: Customer, **headers: str) -> httpx2.Response:
    return await customer.owner.put(PATH, params=WHY, content=TEXT, headers=YAML | headers)


def reaching(answer: httpx2.Response) -> dict[str, str]:
    return {"Fairlead-Position": answer.headers["Fairlead-Position"]}


async def test_a_document_becomes_a_version_with_an_agent_of_its_own(alice: Customer, bob: Customer) -> None:
    made = await published(alice)
    assert made.status_code == 201, made.text
    assert made.headers["ETag"] == '"1"'
    seen = await alice.owner.get(made.headers["Location"], headers=reaching(made))
    assert seen.json()["document"] == yaml.safe_load(TEXT)
    assert seen.json()["document_hash"] == made.json()["document_hash"]
    assert seen.json()["reason"] == "first try"
    assert seen.json()["author"]["id"] == alice.owner_id
    agent = await alice.owner.get(f"/v1/principals/{made.json()['agent_principal_id']}")
    assert agent.json()["workflow_id"] == made.json()["workflow_id"]
    for path in (PATH, f"/v1/workflows/{made.json()['workflow_id']}", made.headers["Location"]):
        assert (await bob.owner.get(path, headers=reaching(made))).status_code == 404


async def test_the_same_document_again_is_no_new_version(alice: Customer) -> None:
    assert (await published(alice)).status_code == 201
    again = await published(alice)
    assert (again.status_code, again.json()["version"]) == (200, 1)


async def test_a_version_follows_the_one_that_its_author_saw(alice: Customer) -> None:
    assert (await published(alice, **{"If-None-Match": "*"})).status_code == 201
    assert (await published(alice, **{"If-None-Match": "*"})).status_code == 412
    document = yaml.safe_load(TEXT) | {"title": "Another title"}
    second = await alice.owner.put(PATH, params=WHY, json=document, headers={"If-Match": '"1"'})
    assert (second.status_code, second.headers["ETag"]) == (201, '"2"')
    late = await alice.owner.put(PATH, params=WHY, json=document | {"title": "x"}, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    listed = await alice.owner.get(f"{PATH}/versions", params={"limit": 1}, headers=reaching(second))
    assert [each["version"] for each in listed.json()["items"]] == [2]
    rest = await alice.owner.get(f"{PATH}/versions", params={"cursor": listed.json()["next_cursor"]})
    assert [each["version"] for each in rest.json()["items"]] == [1]
    assert rest.json()["next_cursor"] is None


async def test_every_problem_of_a_document_is_told_at_once(alice: Customer) -> None:
    document = yaml.safe_load(TEXT)
    del document["goal"]
    document["tools"] = [*document["tools"], "no.such_tool"]
    refused = await alice.owner.put(PATH, params=WHY, json=document)
    assert refused.status_code == 422
    assert {"/goal", f"/tools/{len(document['tools']) - 1}"} <= {each["path"] for each in refused.json()["errors"]}
    verdict = await alice.owner.post("/v1/workflows/validate", json=document)
    assert verdict.json()["valid"] is False
    assert verdict.json()["problems"] == refused.json()["errors"]
    fine = await alice.owner.post("/v1/workflows/validate", content=TEXT, headers=YAML)
    assert fine.json()["valid"] is True


async def test_an_archived_workflow_takes_no_version_until_it_is_restored(alice: Customer, bob: Customer) -> None:
    made = await published(alice)
    assert (await bob.owner.post(f"{PATH}/archive", json=WHY)).status_code == 404
    archived = await alice.owner.post(f"{PATH}/archive", json=WHY)
    assert archived.json()["archived"] is True
    refused = await alice.owner.put(PATH, params=WHY, json=yaml.safe_load(TEXT) | {"title": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "workflow_archived")
    listed = await alice.owner.get("/v1/workflows", params={"archived": True}, headers=reaching(archived))
    assert [each["workflow_id"] for each in listed.json()["items"]] == [made.json()["workflow_id"]]
    assert (await alice.owner.post(f"{PATH}/restore", json=WHY)).json()["archived"] is False


async def test_workflows_of_a_workspace_are_missing_for_who_may_not_look_into_it(alice: Customer) -> None:
    made = await published(alice)
    other = (await alice.owner.post("/v1/workspaces", json={"name": "other"})).json()["workspace_id"]
    _, key = await alice.person(Grant(Role.DEVELOPER, workspace_id=other))
    stranger = alice.as_key(key)
    assert (await stranger.get(PATH, headers=reaching(made))).status_code == 404
    assert (await stranger.get("/v1/workflows", headers=reaching(made))).json()["items"] == []
    assert (await stranger.post(f"{PATH}/archive", json=WHY)).status_code == 404
    assert (await stranger.put(PATH, params=WHY, content=TEXT, headers=YAML)).status_code == 404
    there = await stranger.put(PATH, params=WHY | {"workspace_id": other}, content=TEXT, headers=YAML)
    assert there.status_code == 201


async def test_a_reviewer_may_read_a_workflow_and_not_publish_it(alice: Customer) -> None:
    made = await published(alice)
    _, key = await alice.person(Grant(Role.REVIEWER))
    assert (await alice.as_key(key).get(PATH, headers=reaching(made))).status_code == 200
    refused = await alice.as_key(key).put(PATH, params=WHY, content=TEXT, headers=YAML)
    assert (refused.status_code, refused.json()["missing"]) == (403, "workflow:publish")


async def test_yaml_is_read_as_a_person_means_it(alice: Customer) -> None:
    for text in (b"a: &x 1\nb: *x", b"a: 1\na: 2", b"a: !!python/name:os.system x", b"\xff", b"[" * 5000):
        answer = await alice.owner.post("/v1/workflows/validate", content=text, headers=YAML)
        assert answer.json()["problems"][0]["code"] == "malformed", text[:20]
    odd = await alice.owner.post("/v1/workflows/validate", content=b"x", headers={"Content-Type": "text/plain"})
    assert odd.status_code == 415
