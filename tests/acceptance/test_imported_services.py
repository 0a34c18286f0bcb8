"""Runs that call services imported from their descriptions: our own API over its own, a place for code and tickets,
and one that has bad days."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Customer, Served, a_free_port, in_a_task_of_its_own, listening, served_api
from tests.support.api_double import Asked
from tests.support.database import DatabaseUrls
from tests.support.documents import document
from tests.support.engines import cloned_database
from tests.support.flaky_http import FlakyServer, reply, reset
from tests.support.forge import DESCRIPTION, REPO, TOKEN, Forge, too_fast, used_up
from tests.support.openapi import described
from tests.support.workflows import at_work, started, until, until_status

OWN = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json").read_text()
FREELY = {"rules": [{"id": "all", "effects": ["write"], "verdict": "allow", "reason": "a test"}]}
WHY = {"reason": "a test"}


class Installation:
    """An API that also listens on a port, a worker, and two services of somebody else."""

    def __init__(self, served: Served, url: str, service: FlakyServer, forge: Forge) -> None:
        self.served = served
        self.url = url
        self.service = service
        self.forge = forge


@pytest.fixture(scope="module")
async def installation(nats_url: str, database_template: DatabaseUrls) -> AsyncIterator[Installation]:
    port = a_free_port()
    own = f"127.0.0.1:{port.getsockname()[1]}"
    forge = Forge()
    with forge.running():
        async with FlakyServer.at() as service, cloned_database(database_template) as database:
            settings = {
                "outbound_private_networks": ("127.0.0.1/32",),
                "outbound_plain_http": (own, service.authority, forge.authority),
            }
            async with (
                in_a_task_of_its_own(served_api(nats_url, database, settings)) as served,
                listening(served.api, port) as url,
                at_work(served),
            ):
                yield Installation(served, url, service, forge)


@pytest.fixture(scope="module")
def served(installation: Installation) -> Served:
    return installation.served


@pytest.fixture
def forge(installation: Installation) -> Iterator[Forge]:
    """With nothing in it."""
    forge = installation.forge
    forge.issues.clear()
    forge.comments.clear()
    forge.happened.clear()
    yield forge
    assert not forge.next, "every answer was given"


async def imports(who: Customer, name: str, description: Any, **more: Any) -> None:
    made = await who.owner.post("/v1/toolsets", json={"name": name, "description": description, **WHY, **more})
    assert made.status_code == 201, made.text


async def connects(who: Customer, connector: str, base_url: str, key: str | None) -> None:
    body = {"connector": connector, "name": "main", "config": {"base_url": base_url}}
    made = await who.owner.post("/v1/connections", json=body)
    assert made.status_code == 201, made.text
    if key is not None:
        given = await who.owner.post(f"/v1/connections/{made.json()['connection_id']}/secret", json={"key": key})
        assert given.status_code == 200, given.text


async def a_run(who: Customer, tools: list[str], *steps: Any, writes: tuple[str, ...] = (), **fields: Any) -> str:
    said = {"tools": tools, "writes": list(writes), "policy": FREELY, "autonomy": "act_within_policy", "output": {}}
    asked = document(*steps, name="calls", **said, **fields)
    made = await who.owner.put("/v1/workflows/calls", params=WHY, json=asked)
    assert made.status_code == 201, made.text
    return await started(who.owner, made.json()["workflow_id"])


async def calls_of(who: Customer, run: str) -> list[dict[str, Any]]:
    position = {"Fairlead-Position": str(await who.served.parts.log.last_sequence())}
    found: list[dict[str, Any]] = (await who.owner.get(f"/v1/runs/{run}/tool-calls", headers=position)).json()["items"]
    return found


async def test_a_workflow_calls_our_own_api_by_its_own_description(
    installation: Installation, alice: Customer, bob: Customer
) -> None:
    await imports(alice, "own", OWN, hints={"only": ["Workspaces"]})
    await connects(alice, "own", installation.url, alice.key)
    make = {"id": "make", "call": "own.create_workspace", "with": {"body": {"name": "claims"}}}
    look = {
        "id": "look",
        "call": "own.get_workspace",
        "with": {"workspace_id": "${steps.make.output.body.workspace_id}"},
    }
    result = {"status": "${steps.make.output.status}", "name": "${steps.look.output.body.name}"}
    tools = ["own.create_workspace", "own.get_workspace"]
    run = await a_run(alice, tools, make, look, writes=("own.workspaces",), result=result)
    ended = await until_status(alice, run, "completed")
    assert ended["output"] == {"status": 201, "name": "claims"}
    assert "claims" in (await alice.state()).workspaces.values()
    assert "claims" not in (await bob.state()).workspaces.values()
    assert [call["tool_version"] for call in await calls_of(alice, run)] == ["1.0.0", "1.0.0"]
    assert alice.key not in str(await calls_of(alice, run))


async def test_what_our_own_api_refuses_is_a_failed_call_with_its_code(
    installation: Installation, alice: Customer
) -> None:
    await imports(alice, "own", OWN, hints={"only": ["Workspaces"]})
    await connects(alice, "own", installation.url, alice.key)
    look = {"id": "look", "call": "own.get_workspace", "with": {"workspace_id": "wsp_nobody"}}
    run = await a_run(alice, ["own.get_workspace"], look)
    await until_status(alice, run, "failed")
    [call] = await calls_of(alice, run)
    assert (call["error_class"], call["error_code"]) == ("permanent", "not_found")


async def test_arguments_that_do_not_fit_the_description_are_sent_nowhere(
    installation: Installation, alice: Customer
) -> None:
    asked = len(installation.service.asked)
    await imports(alice, "shop", service(installation, {"type": "integer"}))
    order = {"id": "order", "call": "shop.make_order", "with": {"body": {"amount": "${input.amount}"}}}
    run = await a_run(alice, ["shop.make_order"], order, writes=("shop.orders",), input={"type": "object"})
    await until_status(alice, run, "failed")
    assert len(installation.service.asked) == asked


async def test_a_service_that_is_busy_is_asked_again_when_it_says(installation: Installation, alice: Customer) -> None:
    busy = iter([reply(429, retry_after="1"), reply(429), reply(503, retry_after="0"), reply(201, b'{"number": 7}')])

    async def answer(writer: Any, asked: Any) -> None:
        await next(busy)(writer, asked)

    installation.service.answers["/orders"] = answer
    await imports(alice, "shop", service(installation, {"type": "integer"}))
    retry = {"attempts": 4, "initial_ms": 100, "max_ms": 100}
    order = {"id": "order", "call": "shop.make_order", "with": {"body": {"amount": 5}}, "retry": retry}
    run = await a_run(
        alice,
        ["shop.make_order"],
        order,
        writes=("shop.orders",),
        result={"number": "${steps.order.output.body.number}"},
    )
    ended = await until_status(alice, run, "completed")
    assert ended["output"] == {"number": 7}
    keys = {asked.headers["idempotency-key"] for asked in installation.service.asked[-4:]}
    assert len(keys) == 1
    position = {"Fairlead-Position": str(await alice.served.parts.log.last_sequence())}
    timeline = (await alice.owner.get(f"/v1/runs/{run}/timeline", headers=position)).json()["items"]
    failed = [event for event in timeline if event["type"] == "tool_call.failed.v1"]
    pauses_s = [_pause_s(event) for event in failed]
    assert [event["data"]["error_class"] for event in failed] == ["rate_limited", "transient", "rate_limited"]
    assert pauses_s[0] > 0.9, "as the service asked"
    assert max(pauses_s[1:]) <= 0.1, "by our own rule where it asked for nothing"


def _pause_s(failed: dict[str, Any]) -> float:
    at, again_at = (datetime.fromisoformat(text) for text in (failed["at"], failed["data"]["retry_at"]))
    return (again_at - at).total_seconds()


async def test_a_write_whose_answer_is_lost_and_that_takes_no_key_waits_for_a_person(
    installation: Installation, alice: Customer
) -> None:
    installation.service.answers["/letters"] = reset
    asked = len(installation.service.asked)
    paths = {"/letters": {"post": {"operationId": "sendLetter", "tags": ["letters"], "responses": {"200": {}}}}}
    await imports(alice, "post", described(paths, servers=[{"url": installation.service.url("")}]))
    letter = {"id": "letter", "call": "post.send_letter", "with": {}}
    run = await a_run(alice, ["post.send_letter"], letter, writes=("post.letters",))
    await until_status(alice, run, "waiting_for_input")
    assert len(installation.service.asked) == asked + 1


IN_REPO = {"owner": "harbour", "repo": "cranes"}
FROM_CALL = {name: f"{{input.{name}}}" for name in IN_REPO}
CLOSED = {"state": "closed", "state_reason": "not_planned"}
TICKETS = {
    "operations": {
        "issues/create": {
            "undo": {
                "operation": "issues/update",
                "arguments": {**FROM_CALL, "issue_number": "{output.body.number}", "body": CLOSED},
            }
        },
        "issues/create-comment": {
            "undo": {
                "operation": "issues/delete-comment",
                "arguments": {**FROM_CALL, "comment_id": "{output.body.id}"},
            }
        },
        "issues/update": {"idempotency": "natural"},
    }
}
OPEN = {
    "id": "open",
    "call": "forge.issues_create",
    "with": {**IN_REPO, "body": {"title": "Crane 4 is stuck", "body": "Since noon"}},
}
SAY = {
    "id": "say",
    "call": "forge.issues_create_comment",
    "with": {**IN_REPO, "issue_number": "${steps.open.output.body.number}", "body": {"body": "A mechanic is there"}},
}


def change(**body: Any) -> dict[str, Any]:
    arguments = {**IN_REPO, "issue_number": "${steps.open.output.body.number}", "body": body}
    return {"id": "change", "call": "forge.issues_update", "with": arguments}


async def at_the_forge(who: Customer, forge: Forge, *steps: Any, **fields: Any) -> str:
    await imports(who, "forge", DESCRIPTION, hints=TICKETS)
    await connects(who, "forge", forge.url, TOKEN)
    return await a_run(who, sorted({step["call"] for step in steps}), *steps, writes=("forge.issues",), **fields)


async def test_a_workflow_opens_a_ticket_comments_on_it_and_closes_it(alice: Customer, forge: Forge) -> None:
    result = {"number": "${steps.open.output.body.number}", "state": "${steps.change.output.body.state}"}
    run = await at_the_forge(alice, forge, OPEN, SAY, change(state="closed"), result=result)
    ended = await until_status(alice, run, "completed")
    assert ended["output"] == {"number": 1, "state": "closed"}
    assert forge.happened == ["opened 1", "commented 1", "closed 1"]
    assert TOKEN not in str(await calls_of(alice, run))


async def test_a_ticket_is_closed_and_its_comment_gone_when_the_run_fails_after_them(
    alice: Customer, forge: Forge
) -> None:
    """By the operations that whoever imported the service named for it."""
    run = await at_the_forge(alice, forge, OPEN, SAY, change(assignees=["nobody"]))
    ended = await until(alice, f"/v1/runs/{run}", lambda shown: shown["compensation"] == "done")
    assert (ended["status"], ended["reason_code"]) == ("failed", "unprocessable")
    assert [what.split()[0] for what in forge.happened] == ["opened", "commented", "forgot", "closed"]
    assert (forge.issues[1]["state_reason"], forge.comments) == ("not_planned", {})


async def test_limits_of_the_forge_are_waited_out_and_nothing_is_written_twice(alice: Customer, forge: Forge) -> None:
    forge.next = [used_up, too_fast]
    run = await at_the_forge(alice, forge, OPEN)
    await until_status(alice, run, "completed")
    assert forge.happened == ["opened 1"]
    [call] = await calls_of(alice, run)
    assert call["attempt"] == 3


async def test_pages_are_followed_by_their_links_and_what_has_not_changed_costs_nothing(
    alice: Customer, forge: Forge
) -> None:
    for number in range(5):
        forge.answer(asked_of_forge("POST", "/issues", {"title": f"Crane {number}"}))
    listed = {"id": "all", "call": "forge.issues_list_for_repo", "with": {**IN_REPO, "per_page": 2, "pages": 3}}
    look = {"id": "look", "call": "forge.repos_get", "with": IN_REPO}
    known = {**IN_REPO, "If_None_Match": "${steps.look.output.etag}"}
    again = {"id": "again", "call": "forge.repos_get", "with": known}
    result = {"issues": "${size(steps.all.output.body)}", "again": "${steps.again.output.status}"}
    left = forge.left
    run = await at_the_forge(alice, forge, listed, look, again, result=result)
    ended = await until_status(alice, run, "completed")
    assert ended["output"] == {"issues": 5, "again": 304}
    assert left - forge.left == 4


def asked_of_forge(method: str, path: str, body: Any) -> Asked:
    headers = {"Authorization": f"Bearer {TOKEN}", "User-Agent": "a test"}
    return Asked(method, f"/repos/{REPO}{path}", headers, json.dumps(body).encode())


def service(installation: Installation, amount: dict[str, Any]) -> dict[str, Any]:
    """Takes orders under a key, from anybody."""
    order = {"type": "object", "properties": {"amount": amount}, "required": ["amount"]}
    number = {"type": "object", "properties": {"number": {"type": "integer"}}}
    operation = {
        "operationId": "makeOrder",
        "tags": ["orders"],
        "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": order}}},
        "responses": {"201": {"description": "made", "content": {"application/json": {"schema": number}}}},
    }
    return described({"/orders": {"post": operation}}, servers=[{"url": installation.service.url("")}])
