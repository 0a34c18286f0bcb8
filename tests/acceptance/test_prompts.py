"""Prompts over HTTP: published, compared, taken back, kept by workflows; another tenant sees none of it."""

from typing import Any

from tests.support.agents import agent_document
from tests.support.api import Customer
from tests.support.workflows import up_to_now

PROMPT: dict[str, Any] = {"fairlead": 1, "system": "You help.", "task": "Help with ${ input.wish }."}
WHY = {"reason": "for a test"}


async def published(client: Any, document: dict[str, Any], name: str = "helper", **headers: str) -> Any:
    return await client.put(f"/v1/prompts/{name}", params=WHY, json=document, headers=headers)


async def test_versions_are_kept_compared_and_taken_back(alice: Customer) -> None:
    async with alice.owner as client:
        assert (await published(client, PROMPT)).status_code == 201
        assert (await published(client, PROMPT)).status_code == 200
        second = await published(client, PROMPT | {"system": "You help well."}, **{"If-Match": '"1"'})
        assert (second.status_code, second.json()["version"]) == (201, 2)
        stale = await published(client, PROMPT | {"system": "You do not."}, **{"If-Match": '"1"'})
        assert stale.status_code == 412
        back = await client.post("/v1/prompts/helper/rollback", json=WHY)
        assert (back.status_code, back.json()["version"]) == (201, 3)
        now = await up_to_now(alice)
        listed = (await client.get("/v1/prompts/helper/versions", headers=now)).json()["items"]
        assert [(each["version"], each["restores"]) for each in listed] == [(3, 1), (2, None), (1, None)]
        difference = (await client.get("/v1/prompts/helper/versions/2/difference", headers=now)).json()
        assert [each["path"] for each in difference["changes"]] == ["/system"]
        shown = (await client.get("/v1/prompts/helper/versions/3", headers=now)).json()
        assert shown["document"] == PROMPT


async def test_what_is_no_prompt_is_refused_with_its_place(alice: Customer) -> None:
    async with alice.owner as client:
        for wrong, path in (
            (PROMPT | {"system": "You help ${ input.wish }."}, "/system"),
            (PROMPT | {"task": "${ secrets.key }"}, "/task"),
            (PROMPT | {"task": "${ input."}, "/task"),
            (PROMPT | {"task": 5}, "/task"),
            (PROMPT | {"system": "You\u200b help."}, "/system"),
        ):
            answer = await published(client, wrong)
            assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path), answer.text


async def test_a_workflow_keeps_the_prompt_that_it_was_published_with(alice: Customer) -> None:
    document = agent_document(tools=["basics.echo"], writes=[], name="helper")
    async with alice.owner as client:
        missing = await client.put("/v1/workflows/helper", params=WHY, json=document)
        assert (missing.status_code, missing.json()["errors"][0]["code"]) == (422, "prompt_not_found")
        await published(client, PROMPT)
        assert (await client.put("/v1/workflows/helper", params=WHY, json=document)).json()["version"] == 1
        assert (await client.put("/v1/workflows/helper", params=WHY, json=document)).json()["version"] == 1
        await published(client, PROMPT | {"system": "You help well."})
        assert (await client.put("/v1/workflows/helper", params=WHY, json=document)).json()["version"] == 2


async def test_another_tenant_sees_and_changes_none_of_it(alice: Customer, bob: Customer) -> None:
    async with alice.owner as client:
        await published(client, PROMPT)
    now = await up_to_now(alice)
    async with bob.owner as client:
        assert (await client.get("/v1/prompts", headers=now)).json()["items"] == []
        for path in ("helper", "helper/versions", "helper/versions/1"):
            assert (await client.get(f"/v1/prompts/{path}", headers=now)).status_code == 404
        workspace = {"workspace_id": await alice.workspace_id()}
        assert (await client.put("/v1/prompts/helper", params=WHY | workspace, json=PROMPT)).status_code == 404
