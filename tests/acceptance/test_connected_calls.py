"""An account is connected over the API, calls use it in a process of their own, and it is taken away: with a real
provider, and a service that checks each token by itself."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from fairlead_sdk.contract import Call, JsonSchema
from fairlead_tenants.ids import WorkspaceId

from fairlead import app
from fairlead.adapters.postgres import Database
from fairlead.domain.connections.errors import ConnectionNotFound, NeedsReconnect, ScopeMissing
from fairlead.domain.connections.use import Use
from fairlead.domain.ids import CallId, RunId
from fairlead.ports import WayOut
from tests.support.accounts import CONNECTIONS, came_back, connected, registered, seen, sent
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.oauth_provider.provider import RESOURCE, Provider
from tests.support.oauth_provider.records import Records
from tests.support.stack import PLUGINS

COUNT, ADD = "records.count_records", "records.add_record"
READ, WRITE = "records:read", "records:write"


class Worker:
    """Shares the engines with the API, and nothing else."""

    def __init__(self, core: app.Core, database: Database, name: str) -> None:
        self._core = core
        self._lender = app.accounts_of(core, database).lender(name)
        self._calls = 0

    @classmethod
    @asynccontextmanager
    async def beside(cls, served: Served, database: DatabaseUrls, name: str) -> AsyncIterator["Worker"]:
        async with app.core(served.core.settings, {}, name) as core, Database(database.app) as requests:
            yield cls(core, requests, name)

    async def call(self, who: Customer, name: str = COUNT) -> Any:
        """One call as one is made: lent a credential, one way out with it, nothing afterwards."""
        use = await self._use(who, name)
        manifest = await self._core.connectors.manifest(who.tenant_id, use.connector)
        assert manifest is not None
        tool = manifest.by_name[name]
        async with self._lender.lend(use) as lent:
            way = WayOut(
                owner=lent.connection_id,
                egress=manifest.egress,
                timeout_s=tool.timeout_s,
                config=lent.connection.config,
                auth=manifest.auth,
                credential=lent.credential,
            )
            http = self._core.outbound.http(way)
            given = Call(
                call_id=use.call_id,
                attempt=1,
                idempotency_key=use.call_id,
                settings={},
                connection=lent.connection,
                http=http,
            )
            assert not isinstance(tool.input, JsonSchema)
            return await tool.run(tool.input(), given)

    async def _use(self, who: Customer, name: str) -> Use:
        self._calls += 1
        tool = self._core.connectors.tool(name, who.tenant_id)
        assert tool is not None
        return Use(
            tenant_id=who.tenant_id,
            workspace_id=WorkspaceId(await who.workspace_id()),
            environment_id=await who.environment_id(),
            connector=name.partition(".")[0],
            connection=None,
            tool=name,
            scopes=tool.scopes,
            run_id=RunId("run_of_the_test"),
            call_id=CallId(f"tcl_{self._calls}"),
            attempt=1,
        )


@pytest.fixture(scope="module")
async def records(running_oauth_provider: Provider) -> AsyncIterator[Records]:
    async with Records.of(running_oauth_provider.issuer) as service:
        yield service


@pytest.fixture(scope="module")
async def database(database_template: DatabaseUrls) -> AsyncIterator[DatabaseUrls]:
    async with cloned_database(database_template) as urls:
        yield urls


@pytest.fixture(scope="module")
async def served(
    nats_url: str, database: DatabaseUrls, running_oauth_provider: Provider, records: Records
) -> AsyncIterator[Served]:
    settings = {
        "connectors": ("basics", "records"),
        "trusted_connectors": ("records",),
        "public_url": "https://fairlead.test",
        "outbound_private_networks": ("127.0.0.0/8",),
        "outbound_plain_http": (urlsplit(running_oauth_provider.issuer.url).netloc, records.authority),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(PLUGINS), *sys.path])
        async with in_a_task_of_its_own(served_api(nats_url, database, settings)) as found:
            yield found


@pytest.fixture
async def worker(served: Served, database: DatabaseUrls, records: Records) -> AsyncIterator[Worker]:
    records.forget()
    async with in_a_task_of_its_own(Worker.beside(served, database, "worker-1")) as one:
        yield one


@pytest.fixture
async def another(served: Served, database: DatabaseUrls) -> AsyncIterator[Worker]:
    async with in_a_task_of_its_own(Worker.beside(served, database, "worker-2")) as two:
        yield two


async def given(served: Served, who: Customer, provider: Provider, records: Records, *scopes: str) -> str:
    """The connection that somebody gave access for."""
    await registered(who)
    config = {"issuer": provider.issuer.url, "base_url": records.url}
    connection = await connected(served, who, provider, *scopes, config=config)
    await seen(who, connection)  # who calls without naming a connection looks for the only one in the read model
    return str(connection["connection_id"])


async def test_a_call_reaches_the_account_with_a_token_that_the_account_checks(
    served: Served, alice: Customer, worker: Worker, oauth_provider: Provider, records: Records
) -> None:
    connection = await given(served, alice, oauth_provider, records, READ)

    found = await worker.call(alice)

    assert (found.owner, found.records) == ("ana", 0)
    [claims] = records.served
    assert (claims["aud"], claims["scope"], claims["client_id"]) == (RESOURCE, READ, "basic")
    assert claims["exp"] - claims["iat"] <= 3600
    headers = {"Fairlead-Position": str(await served.parts.log.last_sequence())}
    [use] = (await alice.owner.get(f"{CONNECTIONS}/{connection}/uses", headers=headers)).json()["items"]
    assert (use["tool"], use["scopes"], use["worker"]) == (COUNT, [READ], "worker-1")


async def test_a_revocation_ends_calls_in_every_process_within_a_second(
    served: Served, alice: Customer, worker: Worker, another: Worker, oauth_provider: Provider, records: Records
) -> None:
    """Both call without a pause, so that each has everything at hand that it may remember."""
    connection = await given(served, alice, oauth_provider, records, READ)
    for each in (worker, another):
        await each.call(alice)
    calling = [asyncio.create_task(_until_refused(each, alice)) for each in (worker, another)]

    answer = await alice.owner.post(f"{CONNECTIONS}/{connection}/revoke", json={"reason": "a test"})
    revoked_at = time.monotonic()

    assert answer.json()["provider_told"] is True
    async with asyncio.timeout(10):
        refused_at = await asyncio.gather(*calling)
    assert max(refused_at) - revoked_at < 1
    count = len(records.served)
    for each in (worker, another):
        with pytest.raises(NeedsReconnect):
            await each.call(alice)
    assert len(records.served) == count
    assert records.turned_away == 0, "the service is not even asked"


async def test_a_token_that_ends_is_renewed_once_for_all_and_calls_go_on(
    served: Served, alice: Customer, worker: Worker, another: Worker, oauth_provider: Provider, records: Records
) -> None:
    """The first token is over at once, as the provider says; forty calls in two processes find it so together."""
    await oauth_provider.issuer.patch("/token", {"expires_in": 0}, times=1)
    await given(served, alice, oauth_provider, records, READ)
    asked = await oauth_provider.issuer.requests("/token")

    found = await asyncio.gather(*(each.call(alice) for each in (worker, another) * 20))

    assert {each.owner for each in found} == {"ana"}
    assert await oauth_provider.issuer.requests("/token") == asked + 1
    assert len({claims["jti"] for claims in records.served}) == 1


async def test_a_grant_that_was_ended_at_the_provider_asks_for_the_person_and_comes_back_with_them(
    served: Served, alice: Customer, worker: Worker, another: Worker, oauth_provider: Provider, records: Records
) -> None:
    await oauth_provider.issuer.patch("/token", {"expires_in": 0}, times=1)
    connection = await given(served, alice, oauth_provider, records, READ)
    await oauth_provider.issuer.forget("ana")
    for each in (worker, another):
        with pytest.raises(NeedsReconnect) as ended:
            await each.call(alice)
        assert ended.value.reconnect_path == f"{CONNECTIONS}/{connection}/authorize"

    callback, cookie = await sent(alice, {"connection_id": connection})
    await came_back(served, callback, cookie)

    for each in (worker, another):
        assert (await each.call(alice)).owner == "ana"


async def test_less_than_was_asked_for_is_less_than_may_be_done(
    served: Served, alice: Customer, worker: Worker, oauth_provider: Provider, records: Records
) -> None:
    """The provider gives a token for reading although writing was asked for."""
    await oauth_provider.issuer.patch("/token", {"scope": READ})
    await given(served, alice, oauth_provider, records, READ, WRITE)

    with pytest.raises(ScopeMissing) as refused:
        await worker.call(alice, ADD)

    assert refused.value.missing == WRITE
    assert (records.served, records.turned_away) == ([], 0)
    assert (await worker.call(alice)).owner == "ana"


async def test_what_one_tenant_has_connected_is_of_no_use_to_another(
    served: Served, alice: Customer, bob: Customer, worker: Worker, oauth_provider: Provider, records: Records
) -> None:
    await given(served, alice, oauth_provider, records, READ)

    with pytest.raises(ConnectionNotFound):
        await worker.call(bob)

    assert records.served == []


async def _until_refused(worker: Worker, who: Customer) -> float:
    """When the first call was."""
    while True:
        try:
            await worker.call(who)
        except NeedsReconnect:
            return time.monotonic()
