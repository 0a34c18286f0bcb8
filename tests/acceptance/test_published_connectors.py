"""A connector out of the catalogue in runs over the API, with an account and a service behind it; and the same
connector after its author has turned, which meets the sandbox and the guarded way out in the same place."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead.adapters.sandbox.choosing import choose
from fairlead.adapters.sandbox.limits import Limits
from fairlead.domain.ids import WorkflowId
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.courier import HONEST, NAME, TURNED, courier, taken_outside
from tests.support.database import DatabaseUrls
from tests.support.documents import document
from tests.support.engines import cloned_database
from tests.support.flaky_http import FlakyServer, reply
from tests.support.installing import installed, withdrawn
from tests.support.packages import AUTHOR
from tests.support.workflows import at_work, started, until, until_status

SECRET = "the-key-at-the-service"
WHY = {"reason": "a test"}
LOOK = {
    "id": "look",
    "call": "courier.get_parcel",
    "with": {"number": "${input.number}", "elsewhere": "${input.elsewhere}"},
}
RESULT = {"stands_at": "${steps.look.output.stands_at}", "taken": "${steps.look.output.taken}"}
DOCUMENT = document(LOOK, name="follow", tools=["courier.get_parcel"], input={"type": "object"}, result=RESULT)


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[FlakyServer]:
    async with FlakyServer.at() as server:
        for number in (7, 13):
            server.answers[f"/parcels/{number}"] = reply(200, b'{"stands_at": "Bremen"}')
        yield server


@pytest.fixture(scope="module")
async def elsewhere() -> AsyncIterator[FlakyServer]:
    """The installation lets its connectors reach it; this one's manifest does not name it."""
    async with FlakyServer.at() as server:
        yield server


@pytest.fixture(scope="module")
async def served(
    nats_url: str, database_template: DatabaseUrls, service: FlakyServer, elsewhere: FlakyServer
) -> AsyncIterator[Served]:
    containment, tried = await choose("auto", Limits())
    if containment is None:
        pytest.skip(f"no sandbox holds here: {tried}")
    settings = {
        "trusted_authors": (AUTHOR,),
        "outbound_private_networks": ("127.0.0.1/32",),
        "outbound_plain_http": (service.authority, elsewhere.authority),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRLEAD_CONNECTOR_COURIER_SECRET", SECRET)
        async with (
            cloned_database(database_template) as database,
            in_a_task_of_its_own(served_api(nats_url, database, settings)) as served,
            in_a_task_of_its_own(at_work(served)),
        ):
            for version in (HONEST, TURNED):
                await installed(served, courier(version), NAME, version)
            yield served
            await withdrawn(served, NAME)


async def equipped(who: Customer, service: FlakyServer, version: str) -> WorkflowId:
    """The tenant uses that version with an account of its own; its workflow."""
    used = await who.owner.put(f"/v1/connectors/{NAME}", json={"version": version})
    assert used.status_code == 200, used.text
    account = {"connector": NAME, "name": "main", "config": {"base_url": service.url("")}, "scopes": ["parcels.read"]}
    made = await who.owner.post("/v1/connections", json=account)
    assert made.status_code == 201, made.text
    given = await who.owner.post(f"/v1/connections/{made.json()['connection_id']}/secret", json={"key": SECRET})
    assert given.status_code == 200, given.text
    published = await who.owner.put("/v1/workflows/follow", params=WHY, json=DOCUMENT)
    assert published.status_code == 201, published.text
    return WorkflowId(published.json()["workflow_id"])


async def test_a_run_calls_a_published_connector_which_asks_its_service_with_the_tenants_account(
    alice: Customer, bob: Customer, service: FlakyServer, elsewhere: FlakyServer
) -> None:
    run = await started(alice.owner, await equipped(alice, service, HONEST), input=given(7, elsewhere))
    ended = await until_status(alice, run, "completed")
    assert ended["output"] == {"stands_at": "Bremen", "taken": []}
    assert service.asked[-1].target == "/parcels/7"
    assert service.asked[-1].headers["x-key"] == SECRET
    [call] = await calls_of(alice, run)
    [connection] = (await alice.owner.get("/v1/connections")).json()["items"]
    uses = f"/v1/connections/{connection['connection_id']}/uses"
    [use] = (await until(alice, uses, lambda page: page["items"]))["items"]
    assert (use["call_id"], use["tool"], use["scopes"]) == (call["call_id"], "courier.get_parcel", ["parcels.read"])
    assert SECRET not in str(ended) + str(call) + str(use)
    refused = await bob.owner.put("/v1/workflows/follow", params=WHY, json=DOCUMENT)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unknown_tool")


async def test_the_same_connector_takes_nothing_once_its_author_has_turned(
    alice: Customer, service: FlakyServer, elsewhere: FlakyServer
) -> None:
    """Of the environment, files, programs and sockets; its honest work still succeeds."""
    run = await started(alice.owner, await equipped(alice, service, TURNED), input=given(7, elsewhere))
    ended = await until_status(alice, run, "completed")
    assert ended["output"] == {"stands_at": "Bremen", "taken": []}
    assert elsewhere.connections == 0


async def test_it_would_take_all_that_where_nothing_holds_it(served: Served, elsewhere: FlakyServer) -> None:
    async with FlakyServer.at() as open_to_all:
        taken = await asyncio.to_thread(taken_outside, open_to_all.url(""))
    assert {"FAIRLEAD_CONNECTOR_COURIER_SECRET", "socket", "program"} <= set(taken)


async def test_a_request_to_a_host_that_was_not_declared_is_not_made_and_fails_the_call(
    alice: Customer, service: FlakyServer, elsewhere: FlakyServer
) -> None:
    run = await started(alice.owner, await equipped(alice, service, TURNED), input=given(13, elsewhere))
    await until_status(alice, run, "failed")
    [call] = await calls_of(alice, run)
    assert (call["error_class"], call["error_code"]) == ("permanent", "egress_denied")
    assert elsewhere.connections == 0


def given(number: int, elsewhere: FlakyServer) -> dict[str, Any]:
    return {"number": number, "elsewhere": elsewhere.url("")}


async def calls_of(who: Customer, run: str) -> list[dict[str, Any]]:
    position = {"Fairlead-Position": str(await who.served.parts.log.last_sequence())}
    found: list[dict[str, Any]] = (await who.owner.get(f"/v1/runs/{run}/tool-calls", headers=position)).json()["items"]
    return found
