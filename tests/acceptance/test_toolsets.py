"""Sets of tools over the API: imported by a tenant, used in its workflows, and nobody else's."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role

from benchmarks.openapi import public_style
from fairlead.api import gate
from tests.support.api import Customer
from tests.support.documents import document
from tests.support.openapi import described

PATH = "/v1/toolsets"
READING = {"rules": [{"id": "reads", "effects": ["read"], "verdict": "allow", "reason": "it reads"}]}


def service(*operations: str) -> dict[str, Any]:
    return described({f"/{each}": {"get": {"operationId": each, "responses": {}}} for each in operations})


async def imported(
    customer: Customer, description: Any, name: str = "crm", params: dict[str, Any] | None = None, **more: Any
) -> httpx2.Response:
    body = {"name": name, "description": description, "reason": "wanted", **more}
    return await customer.owner.post(PATH, json=body, params=params or {})


def reaching(answer: httpx2.Response) -> dict[str, str]:
    return {"Fairlead-Position": answer.headers["Fairlead-Position"]}


def workflow(name: str, tool: str) -> dict[str, Any]:
    return document({"id": "look", "call": tool, "with": {}}, name=name, tools=[tool], policy=READING)


async def test_a_description_becomes_tools_of_the_tenant_that_imported_it(alice: Customer, bob: Customer) -> None:
    made = await imported(alice, public_style(5))
    assert made.status_code == 201, made.text
    report = made.json()
    assert (report["version"], len(report["tools"]), report["left_out"]) == (1, 5, [])
    assert report["sign_in"]["auth"] == "oauth2"
    assert report["sign_in"]["egress"] == ["crm.example.com", "{base_url}"]
    seen = await alice.owner.get(made.headers["Location"], headers=reaching(made))
    assert seen.status_code == 200
    assert seen.json()["tools"] == report["tools"]
    assert seen.json()["tools_by_effect"] == {"read": 2, "write": 2, "destructive": 1}
    assert (seen.json()["reason"], seen.json()["author"]["id"]) == ("wanted", alice.owner_id)
    tool = await alice.owner.get("/v1/tools/crm.things0_update")
    assert (tool.json()["connector"], tool.json()["version"], tool.json()["effect"]) == ("crm", "1.0.0", "write")
    for path in (made.headers["Location"], f"{PATH}/crm", f"{PATH}/crm/versions", "/v1/tools/crm.things0_update"):
        assert (await bob.owner.get(path, headers=reaching(made))).status_code == 404
    assert (await bob.owner.get(PATH, headers=reaching(made))).json()["items"] == []
    assert (await bob.owner.get("/v1/tools", params={"connector": "crm"}, headers=reaching(made))).json()["items"] == []


async def test_yaml_is_sent_as_text(alice: Customer) -> None:
    text = "openapi: 3.0.0\npaths: {/a: {get: {operationId: look, responses: {200: {description: fine}}}}}\n"
    made = await imported(alice, text)
    assert made.status_code == 201, made.text
    assert [tool["name"] for tool in made.json()["tools"]] == ["crm.look"]


async def test_a_dry_run_says_what_would_happen_and_leaves_nothing(alice: Customer) -> None:
    dry = await imported(alice, service("look"), params={"dry_run": True})
    assert (dry.status_code, dry.json()["version"], len(dry.json()["tools"])) == (200, None, 1)
    wrong = await imported(alice, {"swagger": "2.0"}, params={"dry_run": True}, hints={"onyl": []})
    assert wrong.status_code == 200
    assert {(each["path"], each["code"]) for each in wrong.json()["problems"]} == {
        ("/description/openapi", "not_openapi_3"),
        ("/hints", "bad_hints"),
    }
    assert (await alice.owner.get(f"{PATH}/crm")).status_code == 404


async def test_what_cannot_be_imported_is_a_problem_with_every_place(alice: Customer) -> None:
    refused = await imported(alice, {"openapi": "3.1.0"}, hints={"operations": {"x": {"effect": "none"}}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert {each["path"] for each in refused.json()["errors"]} == {"/description/paths", "/hints"}
    assert (await imported(alice, service("a"), importer="basics")).json()["errors"][0]["path"] == "/importer"
    assert (await imported(alice, service("a"), name="Not A Name")).status_code == 422
    taken = await imported(alice, service("a"), name="basics")
    assert (taken.status_code, taken.json()["code"]) == (409, "toolset_name_taken")


async def test_the_same_tools_are_no_new_version_and_the_same_key_gives_the_same_answer(alice: Customer) -> None:
    body = {"name": "crm", "description": service("look"), "reason": "wanted"}
    first = await alice.owner.post(PATH, json=body, headers={"Idempotency-Key": "one"})
    again = await alice.owner.post(PATH, json=body, headers={"Idempotency-Key": "one"})
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    same = await alice.owner.post(PATH, json=body | {"reason": "again"})
    assert (same.status_code, same.json()["version"]) == (200, 1)
    other = await imported(alice, service("look", "more"))
    assert (other.status_code, other.json()["version"], other.headers["ETag"]) == (201, 2, '"2"')
    versions = (await alice.owner.get(f"{PATH}/crm/versions", headers=reaching(other))).json()["items"]
    assert [each["version"] for each in versions] == [2, 1]
    old = await alice.owner.get(f"{PATH}/crm/versions/1")
    assert [tool["name"] for tool in old.json()["tools"]] == ["crm.look"]
    assert (await alice.owner.get(f"{PATH}/crm/versions/3")).status_code == 404


async def test_sets_and_their_tools_are_listed_by_the_page(alice: Customer) -> None:
    await imported(alice, service("look", "more"), name="crm")
    last = await imported(alice, service("look", "more"), name="bank")
    first = await alice.owner.get(PATH, params={"limit": 1}, headers=reaching(last))
    assert [each["name"] for each in first.json()["items"]] == ["bank"]
    rest = await alice.owner.get(PATH, params={"cursor": first.json()["next_cursor"]})
    assert [each["name"] for each in rest.json()["items"]] == ["crm"]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        listed = (await alice.owner.get("/v1/tools", params={"limit": 3, **cursor})).json()
        found += [each["name"] for each in listed["items"]]
        if listed["next_cursor"] is None:
            break
        cursor = {"cursor": listed["next_cursor"]}
    assert found == sorted(found)
    assert {"bank.look", "bank.more", "crm.look", "crm.more", "basics.echo"} <= set(found)


async def test_a_workflow_keeps_the_version_that_it_was_published_with(alice: Customer, bob: Customer) -> None:
    await imported(alice, service("look"))
    asked = workflow("looking", "crm.look")
    published = await alice.owner.put("/v1/workflows/looking", params={"reason": "new"}, json=asked)
    assert published.status_code == 201, published.text
    assert published.json()["tool_versions"]["crm.look"].startswith("1.0.0/")
    await imported(alice, service("look", "more"))
    again = await alice.owner.put("/v1/workflows/looking", params={"reason": "new"}, json=asked)
    assert (again.json()["version"], again.json()["tool_versions"]["crm.look"][:6]) == (2, "2.0.0/")
    for customer, path in ((bob, "/v1/workflows/looking"), (alice, "/v1/workflows/other")):
        tool = "crm.look" if customer is bob else "crm.nothing"
        refused = await customer.owner.put(path, params={"reason": "new"}, json=workflow(path.split("/")[-1], tool))
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unknown_tool")
        checked = await customer.owner.post("/v1/workflows/validate", json=workflow("looking", tool))
        assert [each["code"] for each in checked.json()["problems"]] == ["unknown_tool"]


@pytest.mark.parametrize(("role", "status"), [(Role.DEVELOPER, 201), (Role.OPERATOR, 403), (Role.REVIEWER, 403)])
async def test_only_who_may_imports(alice: Customer, role: Role, status: int) -> None:
    _, key = await alice.person(Grant(role))
    body = {"name": "crm", "description": service("look"), "reason": "wanted"}
    assert (await alice.as_key(key).post(PATH, json=body)).status_code == status


async def test_a_role_in_one_workspace_imports_nothing_for_the_whole_tenant(alice: Customer) -> None:
    _, key = await alice.person(Grant(Role.ADMIN, workspace_id=await alice.workspace_id()))  # type: ignore[arg-type]
    body = {"name": "crm", "description": service("look"), "reason": "wanted"}
    assert (await alice.as_key(key).post(PATH, json=body)).status_code in (403, 404)


async def test_whoever_sends_slowly_holds_up_nobody_for_long(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "LARGE_WITHIN_S", 0.2)

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        slow = [
            tasks.create_task(alice.owner.post(PATH, content=stalled(), headers={"Content-Type": "application/json"}))
            for _ in range(gate.LARGE_AT_ONCE)
        ]
        assert (await imported(alice, service("look"))).status_code == 201
    assert [(each.result().status_code, each.result().json()["code"]) for each in slow] == [
        (400, "malformed_body")
    ] * gate.LARGE_AT_ONCE


async def test_a_large_description_is_imported_whole_and_a_larger_one_is_refused(alice: Customer) -> None:
    large = await imported(alice, public_style(1000))
    assert (large.status_code, len(large.json()["tools"])) == (201, 1000)
    tool = await alice.owner.get("/v1/tools/crm.things199_delete", headers=reaching(large))
    assert tool.json()["effect"] == "destructive"
    huge = json.dumps({"name": "crm", "reason": "x", "description": "x" * 8 * 1024 * 1024})
    refused = await alice.owner.post(PATH, content=huge, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
