"""One account, two workers that share nothing but the engines, a real provider, and a service that checks each token by
itself."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead import app
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import WorkflowId
from fairlead.domain.runs.events import ToolCallCompleted
from fairlead.settings import Settings
from tests.support.accounts import CONNECTIONS, api_with_records, came_back, connected, registered, seen, sent
from tests.support.api import Customer, Served, in_a_task_of_its_own, running
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.oauth_provider.provider import RESOURCE, Provider
from tests.support.oauth_provider.records import Records
from tests.support.workflows import publish, started, until_status

READ, WRITE = "records:read", "records:write"
COUNT, RECALL, ADD = "records.count_records", "records.recall_count", "records.add_record"
FREELY = {"rules": [{"id": "all", "effects": ["write"], "verdict": "allow", "reason": "a test"}]}
WRITING: dict[str, Any] = {"tools": [ADD], "writes": ["record"], "policy": FREELY, "result": {}}
AT_ONCE = 7  # calls that one worker makes, of which one tenant may have all; twice as many need both


@asynccontextmanager
async def a_worker(settings: Settings, name: str) -> AsyncIterator[None]:
    """As a process composes it, with connections, caches and a way out of its own."""
    async with app.core(replace(settings, worker_concurrency=AT_ONCE), {}, name) as core, running(app.worker(core)):
        yield


@pytest.fixture(scope="module")
async def running_service(running_oauth_provider: Provider) -> AsyncIterator[Records]:
    async with Records.of(running_oauth_provider.issuer) as records:
        yield records


@pytest.fixture
def service(running_service: Records) -> Records:
    running_service.forget()
    return running_service


@pytest.fixture(scope="module")
async def served(
    nats_url: str,
    database_template: DatabaseUrls,
    running_oauth_provider: Provider,
    running_service: Records,
) -> AsyncIterator[Served]:
    async with AsyncExitStack() as parts:
        database = await parts.enter_async_context(cloned_database(database_template))
        api = api_with_records(nats_url, database, running_oauth_provider, running_service.authority)
        served = await parts.enter_async_context(api)
        for name in ("worker-1", "worker-2"):
            await parts.enter_async_context(in_a_task_of_its_own(a_worker(served.core.settings, name)))
        yield served


async def given(served: Served, who: Customer, provider: Provider, service: Records, *scopes: str) -> str:
    """The connection that somebody gave access for."""
    await registered(who)
    config = {"issuer": provider.issuer.url, "base_url": service.url}
    connection = await connected(served, who, provider, *scopes, config=config)
    await seen(who, connection)
    return str(connection["connection_id"])


async def calling(who: Customer, tool: str = COUNT, count: int = 1) -> WorkflowId:
    """A workflow with so many calls of the tool, one after the other."""
    steps = [{"id": f"s{number}", "call": tool, "with": {}} for number in range(count)]
    fields: dict[str, Any] = {"tools": [tool], "writes": ["record"] if tool == ADD else [], "policy": FREELY}
    return await publish(who, *steps, name=f"calls-{count}", result={"owner": "${steps.s0.output.owner}"}, **fields)


async def cached(who: Customer, run_id: str) -> bool:
    """Whether the run's only call was answered from what another one gave, as its timeline says."""
    recorded = await who.served.core.log.read(StreamRef(who.tenant_id, "run", run_id))
    [completed] = [
        event for commit in recorded for event in commit.commit.events if isinstance(event, ToolCallCompleted)
    ]
    return completed.cached is not None


async def test_a_token_is_for_this_service_for_what_was_granted_and_for_an_hour_at_most(
    served: Served, alice: Customer, oauth_provider: Provider, service: Records
) -> None:
    await given(served, alice, oauth_provider, service, READ)

    run = await until_status(alice, await started(alice.owner, await calling(alice)), "completed")

    assert run["output"] == {"owner": "ana"}
    [claims] = service.served
    assert (claims["aud"], claims["scope"], claims["client_id"]) == (RESOURCE, READ, "basic")
    assert claims["exp"] - claims["iat"] <= 3600


async def test_no_call_begins_anywhere_once_a_revocation_has_been_answered(
    served: Served, alice: Customer, oauth_provider: Provider, service: Records
) -> None:
    """Both workers are in the middle of calls when it comes: those end, and none follows them."""
    connection = await given(served, alice, oauth_provider, service, READ)
    workflow = await calling(alice, count=5)
    async with service.holding() as held:
        runs = [await started(alice.owner, workflow) for _ in range(2 * AT_ONCE)]
        await held.until(2 * AT_ONCE)
        url = f"{CONNECTIONS}/{connection}/revoke"
        answer = await alice.owner.post(url, json={"reason": "the laptop was stolen"})
    assert answer.json()["provider_told"] is True

    for run in runs:
        await until_status(alice, run, "waiting_for_connection")
    assert len(service.served) == 2 * AT_ONCE
    assert service.turned_away == 0, "the service is not even asked"


async def test_a_token_that_has_ended_is_renewed_once_for_all_workers(
    served: Served, alice: Customer, oauth_provider: Provider, service: Records
) -> None:
    """A refresh token that is spent twice ends the grant, so none of these calls would be made."""
    await oauth_provider.issuer.patch("/token", {"expires_in": 0}, times=1)
    await given(served, alice, oauth_provider, service, READ)
    asked = await oauth_provider.issuer.requests("/token")
    workflow = await calling(alice)
    async with service.holding() as held:
        runs = [await started(alice.owner, workflow) for _ in range(2 * AT_ONCE)]
        await held.until(2 * AT_ONCE)

    for run in runs:
        await until_status(alice, run, "completed")
    assert await oauth_provider.issuer.requests("/token") == asked + 1
    assert len({claims["jti"] for claims in service.served}) == 1


async def test_a_grant_that_the_person_ended_waits_for_them_and_goes_on_with_them(
    served: Served, alice: Customer, oauth_provider: Provider, service: Records
) -> None:
    await oauth_provider.issuer.patch("/token", {"expires_in": 0}, times=1)
    connection = await given(served, alice, oauth_provider, service, READ)
    await oauth_provider.issuer.forget("ana")
    run = await started(alice.owner, await calling(alice))
    waiting = await until_status(alice, run, "waiting_for_connection")
    assert waiting["awaited"]["connections"][0]["code"] == "reconnect_needed"

    callback, cookie = await sent(alice, {"connection_id": connection})
    await came_back(served, callback, cookie)

    await until_status(alice, run, "completed")


async def test_less_than_was_asked_for_is_less_than_may_be_done(
    served: Served, alice: Customer, oauth_provider: Provider, service: Records
) -> None:
    """The provider gives a token for reading although writing was asked for."""
    await oauth_provider.issuer.patch("/token", {"scope": READ})
    await given(served, alice, oauth_provider, service, READ, WRITE)

    run = await started(alice.owner, await calling(alice, ADD))
    waiting = await until_status(alice, run, "waiting_for_connection")

    assert waiting["awaited"]["connections"][0]["scope"] == WRITE
    assert (service.served, service.turned_away) == ([], 0)


async def test_independent_calls_of_a_run_are_with_the_counterpart_at_the_same_time(
    served: Served, alice: Customer, oauth_provider: Provider, service: Records
) -> None:
    """Nobody is answered before both have asked."""
    await given(served, alice, oauth_provider, service, READ)
    branches: dict[str, Any] = {name: [{"id": name, "call": COUNT, "with": {}}] for name in ("one", "two")}
    both = {"id": "both", "parallel": {"branches": branches}}
    workflow = await publish(alice, both, name="both", tools=[COUNT], result={})
    async with service.holding() as held:
        run = await started(alice.owner, workflow)
        await held.until(2)
    await until_status(alice, run, "completed")


async def test_what_a_read_gave_is_given_again_to_the_same_tenant_until_it_writes_or_its_account_is_gone(
    served: Served, alice: Customer, bob: Customer, oauth_provider: Provider, service: Records
) -> None:
    async def recalled(who: Customer, workflow: WorkflowId) -> bool:
        run = await started(who.owner, workflow)
        await until_status(who, run, "completed")
        return await cached(who, run)

    connection = await given(served, alice, oauth_provider, service, READ, WRITE)
    workflow = await calling(alice, RECALL)
    assert [await recalled(alice, workflow) for _ in range(5)] == [False, True, True, True, True]
    assert len(service.served) == 1

    await given(served, bob, oauth_provider, service, READ)
    assert not await recalled(bob, await calling(bob, RECALL))

    adding = await publish(alice, {"id": "add", "call": ADD, "with": {}}, name="add", **WRITING)
    await until_status(alice, await started(alice.owner, adding), "completed")
    assert [await recalled(alice, workflow) for _ in range(2)] == [False, True]
    assert len(service.served) == 4

    await alice.owner.post(f"{CONNECTIONS}/{connection}/revoke", json={"reason": "the laptop was stolen"})
    await until_status(alice, await started(alice.owner, workflow), "waiting_for_connection")
    assert (len(service.served), service.turned_away) == (4, 0)
