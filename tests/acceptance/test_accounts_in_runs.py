"""Runs that use an account at a real service behind a real provider; what they meet when it is taken from them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Role

from tests.support.accounts import CONNECTIONS, api_with_records, came_back, connected, registered, seen, sent
from tests.support.api import Customer, Served
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.oauth_provider.provider import Provider
from tests.support.oauth_provider.records import Records
from tests.support.workflows import at_work, publish, started, the_approval, until, until_status

READ, WRITE = "records:read", "records:write"
COUNT = {"id": "count", "call": "records.count_records", "with": {}}
ADD = {"id": "add", "call": "records.add_record", "with": {}}
FREELY = {"rules": [{"id": "all", "effects": ["write"], "verdict": "allow", "reason": "a test"}]}
TOOLS = ["records.count_records", "records.add_record"]


@pytest.fixture(scope="module")
async def service(running_oauth_provider: Provider) -> AsyncIterator[Records]:
    async with Records.of(running_oauth_provider.issuer) as records:
        yield records


@pytest.fixture(scope="module")
async def served(
    nats_url: str, database_template: DatabaseUrls, running_oauth_provider: Provider, service: Records
) -> AsyncIterator[Served]:
    async with (
        cloned_database(database_template) as database,
        api_with_records(nats_url, database, running_oauth_provider, service.authority) as served,
        at_work(served),
    ):
        yield served


def at(service: Records, name: str = "main") -> dict[str, Any]:
    return {"name": name, "config": {"issuer": service.issuer.url, "base_url": service.url}}


async def a_run(alice: Customer, *steps: dict[str, Any], **fields: Any) -> str:
    wanted = {"tools": TOOLS, "writes": ["record"], "policy": FREELY, "output": {}, "name": "reads", **fields}
    return await started(alice.owner, await publish(alice, *(steps or (COUNT,)), **wanted))


async def calls_of(alice: Customer, run: str) -> list[dict[str, Any]]:
    position = {"Fairlead-Position": str(await alice.served.parts.log.last_sequence())}
    answer = await alice.owner.get(f"/v1/runs/{run}/tool-calls", headers=position)
    calls: list[dict[str, Any]] = answer.json()["items"]
    return calls


async def test_a_run_asks_the_service_with_the_account_of_its_workflow_and_the_use_is_on_record(
    served: Served, alice: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider, READ, WRITE, **at(service))
    before = len(service.served)
    run = await a_run(alice, COUNT, ADD)
    await until_status(alice, run, "completed")
    asked = service.served[before:]
    assert [claims["scope"] for claims in asked] == [f"{READ} {WRITE}"] * 2
    calls = {call["tool"]: call["call_id"] for call in await calls_of(alice, run)}
    url = f"{CONNECTIONS}/{connection['connection_id']}/uses"
    uses = (await until(alice, url, lambda page: len(page["items"]) == 2))["items"]
    assert {use["tool"]: use["call_id"] for use in uses} == calls
    assert {(use["run_id"], use["attempt"], use["purpose"]) for use in uses} == {(run, 1, "call")}
    first = (await alice.owner.get(url, params={"limit": 1})).json()
    rest = (await alice.owner.get(url, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert first["items"] + rest["items"] == uses
    since = (await alice.owner.get(url, params={"since": uses[1]["lent_at"]})).json()["items"]
    assert since == uses[1:]


async def test_read_scopes_run_no_tool_that_writes_and_more_scopes_let_the_run_go_on(
    served: Served, alice: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider, READ, **at(service))
    run = await a_run(alice, ADD)
    waiting = await until_status(alice, run, "waiting_for_connection")
    [missing] = waiting["awaited"]["connections"]
    assert (missing["connection_id"], missing["code"], missing["scope"]) == (
        connection["connection_id"],
        "scope_missing",
        WRITE,
    )
    assert f"/v1/connections/{connection['connection_id']}/authorize" in missing["message"]
    callback, cookie = await sent(alice, connection, READ, WRITE)
    await came_back(served, callback, cookie)
    await until_status(alice, run, "completed")


async def test_a_revoked_account_is_used_by_no_call_that_follows_and_given_anew_the_run_goes_on(
    served: Served, alice: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider, READ, **at(service))
    workflow = await publish(alice, COUNT, name="reads", tools=TOOLS, writes=["record"], policy=FREELY, output={})
    await until_status(alice, await started(alice.owner, workflow), "completed")
    url = f"{CONNECTIONS}/{connection['connection_id']}"
    assert (await alice.owner.post(f"{url}/revoke", json={"reason": "leaked"})).json()["provider_told"]
    asked = len(service.served) + service.turned_away
    run = await started(alice.owner, workflow)
    waiting = await until_status(alice, run, "waiting_for_connection")
    assert waiting["awaited"]["connections"][0]["code"] == "reconnect_needed"
    assert len(service.served) + service.turned_away == asked
    callback, cookie = await sent(alice, connection)
    await came_back(served, callback, cookie)
    await until_status(alice, run, "completed")


async def test_two_accounts_are_told_apart_by_name_and_one_alone_needs_none(
    served: Served, alice: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    main = await connected(served, alice, oauth_provider, READ, **at(service))
    second = await connected(served, alice, oauth_provider, READ, **at(service, "second"))
    run = await a_run(alice)
    await until_status(alice, run, "failed")
    [call] = await calls_of(alice, run)
    assert (call["error_class"], call["error_code"]) == ("permission", "connection_ambiguous")
    named = await a_run(alice, name="named", connections={"records": "main", "records.count_records": "second"})
    await until_status(alice, named, "completed")
    uses = await until(alice, f"{CONNECTIONS}/{second['connection_id']}/uses", lambda page: len(page["items"]) == 1)
    assert uses["items"][0]["run_id"] == named
    assert (await alice.owner.get(f"{CONNECTIONS}/{main['connection_id']}/uses")).json()["items"] == []


async def test_a_second_tenants_run_finds_no_account_of_the_first(
    served: Served, alice: Customer, bob: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    await connected(served, alice, oauth_provider, READ, **at(service))
    asked = len(service.served) + service.turned_away
    for name, connections in (("any", {}), ("named", {"records": "main"})):
        run = await a_run(bob, name=name, connections=connections)
        await until_status(bob, run, "failed")
        [call] = await calls_of(bob, run)
        assert (call["error_class"], call["error_code"]) == ("permission", "connection_not_found")
    assert len(service.served) + service.turned_away == asked


async def test_a_token_that_the_service_does_not_take_needs_a_person(
    served: Served, alice: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    elsewhere = {**at(service), "config": {"issuer": oauth_provider.other.url, "base_url": service.url}}
    connection = await connected(served, alice, oauth_provider, READ, **elsewhere)
    run = await a_run(alice)
    await until_status(alice, run, "waiting_for_connection")
    assert (await seen(alice, connection))["reason"] == "credential_refused"


async def test_reviewers_approve_for_one_account_and_for_no_other_of_that_name(
    served: Served, alice: Customer, service: Records, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider, READ, WRITE, **at(service))
    approvals = {"count": 1, "roles": ["reviewer"], "deadline_s": 3600}
    rule = {"id": "sign", "effects": ["write"], "verdict": "require_approval", "reason": "test", "approvals": approvals}
    run = await a_run(alice, ADD, policy={"rules": [rule]}, connections={"records": "main"})
    asked = await the_approval(alice, run)
    shown = {"connection_id": connection["connection_id"], "config": at(service)["config"]}
    assert asked["evidence"] == {"connection": shown}

    await alice.owner.delete(f"{CONNECTIONS}/{connection['connection_id']}")
    moved = {"issuer": service.issuer.url, "base_url": service.url.replace("127.0.0.1", "localhost")}
    await connected(served, alice, oauth_provider, READ, WRITE, name="main", config=moved)
    _, reviewer = await alice.person(Grant(Role.REVIEWER))
    signed = await alice.as_key(reviewer).post(
        f"/v1/approvals/{asked['approval_id']}/approve", json={"digest": asked["digest"]}
    )
    assert signed.json()["status"] == "granted"
    waiting = await until(alice, f"/v1/runs/{run}", lambda shown: _asks_for_another(shown, asked["approval_id"]))
    approval_id = waiting["awaited"]["approvals"][0]["approval_id"]
    again = await until(alice, f"/v1/approvals/{approval_id}", lambda each: each["status"] == "pending")
    assert again["evidence"]["connection"]["config"] == moved


def _asks_for_another(run: dict[str, Any], approval_id: str) -> bool:
    return [each["approval_id"] for each in run["awaited"]["approvals"]] not in ([], [approval_id])
