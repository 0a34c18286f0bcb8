"""Breakers over the API: seen by the tenant whose they are, closed by those who may, and felt by its runs only."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from fairlead.cli.exits import Exit
from fairlead.consumers import breakers
from fairlead.domain import breakers as b
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.handling.handler import Cause
from tests.support.api import Customer, Served, in_a_task_of_its_own, listening
from tests.support.command_line import Shell
from tests.support.workflows import at_work, echo, publish, started, until, until_status

BREAKERS = "/v1/breakers"
RESET = {"reason": "the provider says so"}


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def opened(customer: Customer, connector: str = "basics") -> str:
    """As a worker would that has counted enough, and shown by now."""
    core, live = customer.served.core, await customer.environment_id()
    stream = StreamRef(customer.tenant_id, "breaker", b.breaker_id(live, connector, None))
    trip = b.TripBreaker(
        environment_id=live,
        connector=connector,
        failures=5,
        calls=6,
        error_class="timeout",
        code="timeout",
        now=core.clock.now(),
    )
    cause = Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd")))
    handled = await core.handler.handle(stream, trip, cause)
    assert await customer.served.parts.positions.reached([breakers.NAME], handled.sequence, 10.0)
    return stream.id


async def test_an_open_breaker_is_listed_and_a_call_that_it_holds_says_so_on_its_timeline(alice: Customer) -> None:
    workflow = await publish(alice, echo("say"), name="held", result={})
    breaker_id = await opened(alice)
    run_id = await started(alice.owner, workflow)
    timeline = await until(
        alice,
        f"/v1/runs/{run_id}/timeline",
        lambda page: any(event["type"] == "tool_call.held.v1" for event in page["items"]),
    )
    (held,) = (event["data"] for event in timeline["items"] if event["type"] == "tool_call.held.v1")
    assert (held["held_for"], held["subject"]) == ("outage", "basics")
    listed = (await alice.owner.get(f"{BREAKERS}?state=open")).json()["items"]
    assert [(each["breaker_id"], each["connector"], each["failures"], each["calls"]) for each in listed] == [
        (breaker_id, "basics", 5, 6)
    ]


async def test_a_breaker_of_one_tenant_is_nothing_to_another(alice: Customer, bob: Customer) -> None:
    await opened(alice)
    workflow = await publish(bob, echo("say"), name="unheld", result={})
    await until_status(bob, await started(bob.owner, workflow), "completed")
    assert (await bob.owner.get(BREAKERS)).json()["items"] == []
    refused = await bob.owner.post(f"{BREAKERS}/basics/reset", json=RESET)
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:fairlead:problem:breaker_not_found")


async def test_one_of_another_environment_is_neither_seen_nor_closed(alice: Customer) -> None:
    await opened(alice)
    elsewhere = alice.as_key(await alice.new_key(alice.owner_id, kind="test"))
    assert (await elsewhere.get(BREAKERS)).json()["items"] == []
    here = {"environment_id": await alice.environment_id("test")}
    there = {"environment_id": await alice.environment_id()}
    for place in ({}, here, there):
        assert (await elsewhere.post(f"{BREAKERS}/basics/reset", json=RESET | place)).status_code == 404
    assert len((await alice.owner.get(f"{BREAKERS}?state=open")).json()["items"]) == 1


async def test_who_has_a_role_in_one_workspace_sees_none_because_none_is_in_it(alice: Customer) -> None:
    await opened(alice)
    _, key = await alice.person(Grant(Role.OPERATOR, workspace_id=WorkspaceId(await alice.workspace_id())))
    narrow = alice.as_key(key)
    assert (await narrow.get(BREAKERS)).json()["items"] == []
    assert (await narrow.post(f"{BREAKERS}/basics/reset", json=RESET)).status_code == 404


async def test_a_shell_lists_them_and_closes_one(served: Served, alice: Customer, tmp_path: Path) -> None:
    breaker_id = await opened(alice, "ledgers")
    async with listening(served.api) as url:
        shell = Shell(tmp_path).with_key(url, alice.key)
        listed = await shell.run("breaker", "list", "--connector", "ledgers", "-o", "json")
        closed = await shell.run("breaker", "reset", "ledgers", "--reason", "mended", "-o", "id")
    assert [(each["breaker_id"], each["state"]) for each in listed.json] == [(breaker_id, "open")]
    assert (closed.code, closed.out.strip()) == (Exit.OK, breaker_id)


async def test_one_that_is_reset_lets_calls_through_at_once(alice: Customer) -> None:
    workflow = await publish(alice, echo("say"), name="again", result={})
    breaker_id = await opened(alice)
    answer = await alice.owner.post(f"{BREAKERS}/basics/reset", json=RESET)
    assert (answer.status_code, answer.json()["breaker_id"]) == (200, breaker_id)
    await until_status(alice, await started(alice.owner, workflow), "completed")
    position = {"Fairlead-Position": answer.headers["Fairlead-Position"]}
    (shown,) = (await alice.owner.get(BREAKERS, headers=position)).json()["items"]
    assert (shown["state"], shown["closed_by"], shown["reason"]) == ("closed", "person", RESET["reason"])


async def test_an_operator_may_reset_and_a_developer_may_only_look(alice: Customer) -> None:
    await opened(alice)
    _, developers = await alice.person(Grant(Role.DEVELOPER))
    _, operators = await alice.person(Grant(Role.OPERATOR))
    developer, operator = alice.as_key(developers), alice.as_key(operators)
    assert (await developer.get(BREAKERS)).status_code == 200
    refused = await developer.post(f"{BREAKERS}/basics/reset", json=RESET)
    assert (refused.status_code, refused.json()["missing"]) == (403, "breaker:reset")
    assert (await operator.post(f"{BREAKERS}/basics/reset", json=RESET)).status_code == 200


async def test_metrics_count_breakers_by_connector_and_name_no_tenant(served: Served, alice: Customer) -> None:
    await opened(alice, "mail")
    wanted = 'fairlead_breaker_state{connector="mail",state="open"} 1.0'
    async with asyncio.timeout(10), served.client() as anybody:
        while wanted not in (text := (await anybody.get("/metrics")).text):  # noqa: ASYNC110  # it gives no signal
            await asyncio.sleep(0.02)
    assert alice.tenant_id not in text
