"""Connectors of the catalogue over the API: installed while the program runs, in versions side by side, used by the
tenants that say so and by nobody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Role

from fairlead import app, cataloguing
from fairlead.adapters.sandbox.choosing import choose
from fairlead.adapters.sandbox.limits import Limits
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.runs.events import RunCompleted
from fairlead.domain.runs.states import Ended
from tests.support.api import Customer, Served, in_a_task_of_its_own, running, served_api
from tests.support.database import DatabaseUrls
from tests.support.documents import document
from tests.support.engines import cloned_database
from tests.support.greeter import NAME, greeter
from tests.support.installing import installed, known, withdrawn
from tests.support.packages import AUTHOR, OTHER_KEY

CALL = {"id": "greet", "call": "greeter.look_up", "with": {"name": "Ann"}}
READING = {"rules": [{"id": "reads", "effects": ["read"], "verdict": "allow", "reason": "it reads"}]}
DOCUMENT = document(CALL, name="greet", tools=["greeter.look_up"], policy=READING, output={})
PATH = f"/v1/connectors/{NAME}"


@pytest.fixture(scope="module")
async def served(nats_url: str, database_template: DatabaseUrls) -> AsyncIterator[Served]:
    containment, tried = await choose("auto", Limits())
    if containment is None:
        pytest.skip(f"no sandbox holds here: {tried}")
    async with (
        cloned_database(database_template) as database,
        in_a_task_of_its_own(served_api(nats_url, database, {"trusted_authors": (AUTHOR,)})) as served,
        in_a_task_of_its_own(running(app.worker(served.core))),
    ):
        for version in ("1.0.0", "1.1.0", "2.0.0"):
            await installed(served, greeter(version), NAME, version)
        yield served
        await withdrawn(served, NAME)


@pytest.fixture
async def alice(served: Served) -> Customer:
    return await served.customer("alice")


@pytest.fixture
async def bob(served: Served) -> Customer:
    return await served.customer("bob")


async def published(customer: Customer) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    params = {"reason": "first"}
    made = await customer.owner.put("/v1/workflows/greet", content=json.dumps(DOCUMENT), headers=headers, params=params)
    return {"status": made.status_code, **made.json()}


async def greeted(customer: Customer) -> Any:
    """What a run of the workflow comes to."""
    asked = {"workflow": "greet", "workspace_id": await customer.workspace_id(), "input": {}}
    started = await customer.owner.post("/v1/runs", json=asked)
    assert started.status_code == 202, started.text
    core, run = customer.served.core, StreamRef(customer.tenant_id, "run", started.json()["run_id"])
    async with asyncio.timeout(30), core.log.follow(Sequence(0), ("run",)) as batches:
        async for _ in batches:
            state = (await core.handler.load(run)).state
            if isinstance(state, Ended):
                return _said(state.ending)
    raise AssertionError("a log is followed without end")


def _said(ending: Any) -> str:
    return str(ending.output["text"] if isinstance(ending, RunCompleted) else ending.code)


async def use(customer: Customer, **choice: Any) -> Any:
    answer = await customer.owner.put(PATH, json=choice)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_connector_is_used_by_the_tenant_that_says_so_in_the_version_that_it_says(
    alice: Customer, bob: Customer
) -> None:
    shown = (await alice.owner.get(PATH)).json()
    assert (shown["version"], shown["by_default"], shown["choice"], shown["usable"]) == (None, False, None, True)
    assert [(each["version"], each["review"], each["installed"]) for each in shown["versions"][:3]] == [
        ("2.0.0", "approved", True),
        ("1.1.0", "approved", True),
        ("1.0.0", "approved", True),
    ]
    assert (await published(alice))["status"] == 422
    assert (await use(alice))["version"] == "2.0.0"
    assert (await published(alice))["status"] in (200, 201)
    assert await greeted(alice) == "2.0.0 greets Ann"
    assert (await use(alice, version="1.0.0"))["choice"] == {"enabled": True, "major": 0, "version": "1.0.0"}
    assert await greeted(alice) == "1.0.0 greets Ann"
    assert (await use(alice, major=1))["version"] == "1.1.0"
    assert await greeted(alice) == "1.1.0 greets Ann"
    assert (await alice.owner.get("/v1/tools/greeter.look_up")).json()["version"] == "1.1.0"
    assert (await bob.owner.get("/v1/tools/greeter.look_up")).status_code == 404
    assert (await published(bob))["status"] == 422
    off = await alice.owner.delete(PATH, params={"reason": "a hole"})
    assert off.status_code == 204
    assert await greeted(alice) == "tool_missing"
    assert (await alice.owner.get("/v1/tools/greeter.look_up")).status_code == 404


async def test_what_is_withdrawn_is_used_no_more_and_what_took_its_place_is(served: Served, alice: Customer) -> None:
    await installed(served, greeter("1.2.0"), NAME, "1.2.0")
    await use(alice, major=1)
    await published(alice)
    assert await greeted(alice) == "1.2.0 greets Ann"
    await cataloguing.withdraw(served.core.settings, NAME, "1.2.0", "a hole")
    await known(served, NAME, "1.2.0", installed=False)
    assert await greeted(alice) == "1.1.0 greets Ann"
    shown = {each["version"]: each for each in (await alice.owner.get(PATH)).json()["versions"]}["1.2.0"]
    assert (shown["review"], shown["installed"], shown["usable"], shown["reason"]) == (
        "withdrawn",
        False,
        False,
        "a hole",
    )


async def test_a_package_that_says_something_else_than_was_signed_is_not_used(served: Served, alice: Customer) -> None:
    settings, liar = served.core.settings, greeter("9.0.0", said_version="3.0.0")
    await cataloguing.publish(settings, liar, new_author=False)
    await cataloguing.review(settings, NAME, "3.0.0", "approved", "did not look")
    await cataloguing.install(settings, NAME, "3.0.0")
    async with asyncio.timeout(30):
        while not any(each.version == "3.0.0" for each in served.core.connectors.broken):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    shown = (await alice.owner.get(PATH)).json()
    assert shown["versions"][0]["version"] == "3.0.0"
    assert shown["versions"][0]["usable"] is False
    assert shown["versions"][0]["reason"] == "what it says of itself is not what was signed"
    assert (await alice.owner.put(PATH, json={"version": "3.0.0"})).json()["code"] == "connector_version_not_installed"
    await cataloguing.uninstall(settings, NAME, "3.0.0")


async def test_another_authors_package_cannot_be_installed(served: Served) -> None:
    settings = served.core.settings
    await cataloguing.publish(settings, greeter("8.0.0", key=OTHER_KEY), new_author=True)
    await cataloguing.review(settings, NAME, "8.0.0", "approved", "read it")
    with pytest.raises(Exception, match="not among those that are allowed"):
        await cataloguing.install(settings, NAME, "8.0.0")


@pytest.mark.parametrize(
    ("choice", "status", "code"),
    [
        ({"version": "7.7.7"}, 409, "connector_version_not_installed"),
        ({"major": 7}, 409, "connector_version_not_installed"),
        ({"version": "1.0.0", "major": 1}, 422, "invalid_input"),
        ({"major": -1}, 422, "invalid_input"),
        ({"version": "1" * 65}, 422, "invalid_input"),
        ({"enabled": True}, 422, "invalid_input"),
    ],
)
async def test_a_choice_that_cannot_be_is_refused(alice: Customer, choice: Any, status: int, code: str) -> None:
    refused = await alice.owner.put(PATH, json=choice)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


@pytest.mark.parametrize("name", ["nobody", "Greeter", "a.b"])
async def test_what_is_not_there_is_not_found(alice: Customer, name: str) -> None:
    for answer in (
        await alice.owner.get(f"/v1/connectors/{name}"),
        await alice.owner.put(f"/v1/connectors/{name}", json={}),
        await alice.owner.delete(f"/v1/connectors/{name}", params={"reason": "r"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "connector_unknown")


async def test_a_connector_beside_the_program_can_be_switched_off_too(alice: Customer, bob: Customer) -> None:
    assert (await alice.owner.delete("/v1/connectors/basics", params={"reason": "no echoes"})).status_code == 204
    assert (await alice.owner.get("/v1/tools/basics.echo")).status_code == 404
    assert (await bob.owner.get("/v1/tools/basics.echo")).status_code == 200
    shown = (await alice.owner.get("/v1/connectors/basics")).json()
    assert (shown["version"], shown["usable"], shown["choice"]["enabled"]) == (None, True, False)
    assert (await alice.owner.put("/v1/connectors/basics", json={})).json()["version"] == "1.0.0"


async def test_only_who_manages_the_tenant_says_what_it_uses(alice: Customer) -> None:
    _, key = await alice.person(Grant(Role.DEVELOPER))
    developer = alice.as_key(key)
    assert (await developer.get(PATH)).status_code == 200
    for answer in (
        await developer.put(PATH, json={}),
        await developer.delete(PATH, params={"reason": "r"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


async def test_a_set_of_tools_cannot_take_the_name_of_a_connector(alice: Customer) -> None:
    body = {"name": NAME, "description": {"openapi": "3.1.0", "paths": {}}, "reason": "wanted"}
    assert (await alice.owner.post("/v1/toolsets", json=body)).json()["code"] == "toolset_name_taken"
