"""Connections over HTTP, with a real provider: given, used up, ended; and a second tenant that tries all of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fairlead_tenants.access import Grant, Permission, Role
from psycopg import sql

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from tests.support.accounts import (
    CALLBACK,
    CLIENTS,
    CONNECTIONS,
    api_with_records,
    came_back,
    connected,
    made,
    records,
    registered,
    seen,
    sent,
    subject_token,
)
from tests.support.api import Customer, Served
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import Provider

READ, WRITE = "records:read", "records:write"
PLANTED = "planted-secret-7c1f0e2b9a4d"  # of no form that redaction knows
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"


@pytest.fixture(scope="module")
async def database(database_template: DatabaseUrls) -> AsyncIterator[DatabaseUrls]:
    async with cloned_database(database_template) as urls:
        yield urls


@pytest.fixture(scope="module")
async def served(nats_url: str, database: DatabaseUrls, running_oauth_provider: Provider) -> AsyncIterator[Served]:
    async with api_with_records(nats_url, database, running_oauth_provider) as found:
        yield found


async def test_an_account_is_connected_from_end_to_end(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    client = await registered(alice)
    assert client["redirect_uri"] == f"https://fairlead.test{CALLBACK}"
    connection = await made(alice, oauth_provider)
    assert (connection["standing"], connection["requested_scopes"], connection["granted_scopes"]) == ("new", [READ], [])
    callback, cookie = await sent(alice, connection, READ, WRITE)
    page = await came_back(served, callback, cookie)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Connected" in page.text
    now = await seen(alice, connection)
    assert (now["standing"], now["granted_scopes"], now["authorized_by"]) == (
        "connected",
        [READ, WRITE],
        alice.owner_id,
    )
    [listed] = (await alice.owner.get(CONNECTIONS)).json()["items"]
    assert listed == now
    [shown] = (await alice.owner.get(CLIENTS)).json()["items"]
    assert (shown["client_id"], shown["has_secret"]) == ("basic", True)


async def test_revoking_is_one_call_and_tells_the_provider(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider)
    await oauth_provider.issuer.reset()
    revoke = f"{CONNECTIONS}/{connection['connection_id']}/revoke"
    answer = await alice.owner.post(revoke, json={"reason": "the laptop was stolen"})
    assert answer.status_code == 200, answer.text
    ended = answer.json()
    assert (ended["standing"], ended["secret_erased"], ended["provider_told"]) == ("revoked", True, True)
    assert await oauth_provider.issuer.requests("/token/revocation") == 1
    again = await alice.owner.post(revoke, json={"reason": "once more"})
    assert (again.status_code, again.json()["reason"]) == (200, "the laptop was stolen")
    stream = StreamRef(alice.tenant_id, "connection", connection["connection_id"])
    events = [event for each in await served.parts.log.read(stream) for event in each.commit.events]
    assert [type(event).__name__ for event in events][-2:] == ["ConnectionRevoked", "ConnectionSecretErased"]


async def test_a_name_is_free_again_once_its_connection_is_deleted(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider)
    url = f"{CONNECTIONS}/{connection['connection_id']}"
    taken = await alice.owner.post(CONNECTIONS, json=records(oauth_provider))
    assert (taken.status_code, taken.json()["code"]) == (409, "connection_exists")
    gone = await alice.owner.delete(url, params={"reason": "moved"})
    assert gone.status_code == 204
    position = {"Fairlead-Position": gone.headers["fairlead-position"]}
    assert (await alice.owner.get(url, headers=position)).status_code == 404
    assert (await alice.owner.get(CONNECTIONS, headers=position)).json()["items"] == []
    assert (await alice.owner.get(f"{url}/uses")).json()["items"] == []
    assert (await alice.owner.delete(url)).status_code == 404
    stream = StreamRef(alice.tenant_id, "connection", connection["connection_id"])
    events = [event for each in await served.parts.log.read(stream) for event in each.commit.events]
    assert [type(event).__name__ for event in events][2:] == [
        "ConnectionRevoked",
        "ConnectionSecretErased",
        "ConnectionDeleted",
    ]
    assert (await made(alice, oauth_provider))["standing"] == "new"


async def test_another_browser_gets_a_code_that_only_the_one_who_began_can_use(
    served: Served, alice: Customer, bob: Customer, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await made(alice, oauth_provider)
    callback, _ = await sent(alice, connection)
    page = await came_back(served, callback)
    assert page.status_code == 200
    assert "main" in page.text
    assert (await seen(alice, connection))["standing"] == "new"
    code = page.text.partition("<code>")[2].partition("</code>")[0]
    confirm = f"{CONNECTIONS}/{connection['connection_id']}/confirm"
    assert (await bob.owner.post(confirm, json={"code": code})).status_code == 404
    _, colleague = await alice.person(Grant(Role.ADMIN))
    refused = await alice.as_key(colleague).post(confirm, json={"code": code})
    assert (refused.status_code, refused.json()["code"]) == (409, "sign_in_unknown")
    used_up = await alice.owner.post(confirm, json={"code": code})
    assert (used_up.status_code, used_up.json()["code"]) == (409, "sign_in_unknown")

    callback, _ = await sent(alice, connection)
    page = await came_back(served, callback)
    code = page.text.partition("<code>")[2].partition("</code>")[0]
    done = await alice.owner.post(confirm, json={"code": f" {code} "})
    assert (done.status_code, done.json()["standing"]) == (200, "connected")


async def test_what_comes_to_the_callback_is_never_echoed_and_the_page_can_do_nothing(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    evil = "<script>alert(1)</script>"
    await registered(alice)
    callback, cookie = await sent(alice, await made(alice, oauth_provider))
    replayed = callback | {"iss": evil}
    for asked in (
        {},
        {"state": evil, "code": evil, "error": evil, "iss": evil},
        {"state": f"{alice.tenant_id}.{'a' * 43}", "code": "c"},
        replayed,
        callback,
    ):
        page = await came_back(served, asked, cookie)
        assert page.status_code == 409, page.text
        assert "script" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"


async def test_an_api_key_is_put_away_and_counts_for_what_its_owner_says(alice: Customer) -> None:
    new = {"connector": "webhooks", "name": "hooks", "config": {"url": "https://receiver.example/in"}}
    connection = (await alice.owner.post(CONNECTIONS, json=new)).json()
    secret = f"{CONNECTIONS}/{connection['connection_id']}/secret"
    for wrong in ({}, {"username": "ann", "password": PLANTED}, {"key": PLANTED, "password": PLANTED}):
        refused = await alice.owner.post(secret, json=wrong)
        assert refused.status_code == 422
        assert PLANTED not in refused.text
    given = await alice.owner.post(secret, json={"key": PLANTED})
    assert (given.status_code, given.json()["standing"]) == (200, "connected")
    assert PLANTED not in given.text
    wrong_way = await alice.owner.post(f"{CONNECTIONS}/{connection['connection_id']}/authorize", json={})
    assert (wrong_way.status_code, wrong_way.json()["code"]) == (409, "grant_not_offered")
    shown = await seen(alice, connection)
    assert (shown["auth"], shown["grant"], shown["standing"]) == ("api_key", None, "connected")


async def test_a_name_and_a_password_are_put_away_and_a_key_is_not_taken_for_them(alice: Customer) -> None:
    servers = {"address": "ann@mail.example", "smtp": "mail.example:465", "imap": "mail.example:993"}
    new = {"connector": "mail", "name": "inbox", "config": servers}
    connection = (await alice.owner.post(CONNECTIONS, json=new)).json()
    secret = f"{CONNECTIONS}/{connection['connection_id']}/secret"
    for wrong in ({"key": PLANTED}, {"username": "ann"}, {"password": PLANTED}, {"username": "", "password": PLANTED}):
        assert (await alice.owner.post(secret, json=wrong)).status_code == 422
    given = await alice.owner.post(secret, json={"username": "ann", "password": PLANTED})
    assert (given.status_code, given.json()["standing"]) == (200, "connected"), given.text
    shown = await seen(alice, connection)
    assert (shown["auth"], shown["grant"], PLANTED in str(shown)) == ("basic", None, False)


async def test_a_planted_secret_is_found_nowhere(
    served: Served, alice: Customer, database: DatabaseUrls, capfd: pytest.CaptureFixture[str]
) -> None:
    new = {"connector": "webhooks", "name": "hooks", "config": {"url": "https://receiver.example/in"}}
    connection = (await alice.owner.post(CONNECTIONS, json=new)).json()
    url = f"{CONNECTIONS}/{connection['connection_id']}"
    key = {"Idempotency-Key": "1"}
    await alice.owner.post(f"{url}/secret", json={"key": PLANTED}, headers=key)
    await alice.owner.post(f"{url}/secret", json={"key": PLANTED, "password": PLANTED})
    await alice.owner.post(f"{url}/secret", json={"key": [PLANTED]})
    client = {"connector": "records", "client_id": "basic", "client_secret": PLANTED}
    await alice.owner.post(CLIENTS, json=client)
    answers = [(await alice.owner.get(path)).text for path in (CONNECTIONS, url, f"{url}/uses", CLIENTS)]
    answers.append((await alice.owner.post(f"{url}/revoke", json={"reason": "a test"})).text)
    said = "".join(answers) + "".join(capfd.readouterr())
    assert PLANTED not in said
    async with served.parts.log.follow(LogSequence(0)) as batches:
        async for batch in batches:
            if not batch:
                break
            assert not any(PLANTED.encode() in each.body for each in batch if hasattr(each, "body"))
    with psycopg.connect(database.admin) as admin:
        for (table,) in admin.execute(_TABLES).fetchall():
            rows = admin.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))).fetchall()
            assert not any(PLANTED in text or PLANTED.encode().hex() in text for (text,) in rows), table


async def test_a_request_with_a_secret_is_carried_out_once(alice: Customer) -> None:
    new = {"connector": "webhooks", "name": "hooks", "config": {"url": "https://receiver.example/in"}}
    key = {"Idempotency-Key": "make"}
    first, second = [await alice.owner.post(CONNECTIONS, json=new, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    secret, key = f"{CONNECTIONS}/{first.json()['connection_id']}/secret", {"Idempotency-Key": "give"}
    assert (await alice.owner.post(secret, json={"key": "one"}, headers=key)).status_code == 200
    assert (await alice.owner.post(secret, json={"key": "one"}, headers=key)).status_code == 200
    other = await alice.owner.post(secret, json={"key": "two"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_device_is_connected_over_the_api(alice: Customer, oauth_provider: Provider) -> None:
    await registered(alice, "device")
    connection = await made(alice, oauth_provider, grant="device_code")
    url = f"{CONNECTIONS}/{connection['connection_id']}/device"
    begun = (await alice.owner.post(url, json={})).json()
    waiting = (await alice.owner.post(f"{url}/look")).json()
    assert (waiting["connection"], waiting["interval_s"]) == (None, begun["interval_s"])
    async with Person("ana") as ana:
        await ana.enter_code(begun["verification_url"], begun["user_code"])


async def test_a_program_is_connected_at_once(alice: Customer, oauth_provider: Provider) -> None:
    await registered(alice, "machine")
    connection = await made(alice, oauth_provider, grant="client_credentials")
    answer = (await alice.owner.post(f"{CONNECTIONS}/{connection['connection_id']}/authorize", json={})).json()
    assert (answer["authorization_url"], answer["connection"]["standing"]) == (None, "connected")


async def test_somebodys_token_is_exchanged_over_the_api_and_never_shown(
    alice: Customer, oauth_provider: Provider
) -> None:
    await registered(alice, "exchanger")
    connection = await made(alice, oauth_provider, grant="token_exchange")
    url = f"{CONNECTIONS}/{connection['connection_id']}/exchange"
    refused = await alice.owner.post(url, json={"subject_token": PLANTED})
    assert (refused.status_code, refused.json()["code"]) == (409, "grant_refused")
    assert PLANTED not in refused.text
    for wrong in ({"subject_token": ""}, {"subject_token": "x" * 16_385}, {}):
        assert (await alice.owner.post(url, json=wrong)).status_code == 422
    for kind in ("access_token", "urn:x y", "urn:" + "x" * 200):
        body = {"subject_token": PLANTED, "subject_token_type": kind}
        assert (await alice.owner.post(url, json=body)).status_code == 422
    begun = await alice.owner.post(url.replace("/exchange", "/authorize"), json={})
    assert (begun.status_code, begun.json()["code"]) == (409, "grant_not_offered")
    theirs = await subject_token(oauth_provider)
    given = await alice.owner.post(url, json={"subject_token": theirs})
    assert (given.status_code, given.json()["standing"], given.json()["granted_scopes"]) == (200, "connected", [READ])
    assert theirs not in given.text


async def test_everything_that_is_wrong_with_a_new_connection_is_named(
    alice: Customer, oauth_provider: Provider
) -> None:
    wrong = records(oauth_provider, scopes=[READ, "root"], config={"base_url": "nowhere"})
    answer = await alice.owner.post(CONNECTIONS, json=wrong)
    assert answer.status_code == 422
    assert {fault["path"] for fault in answer.json()["errors"]} == {
        "/scopes/1",
        "/config/base_url",
        "/config/issuer",
    }
    for change in ({"connector": "nothing"}, {"name": "No"}, {"name": "a" * 64}, {"more": 1}):
        assert (await alice.owner.post(CONNECTIONS, json=records(oauth_provider, **change))).status_code == 422
    for change in ({"workspace_id": "wsp_none"}, {"environment_id": "env_none"}):
        assert (await alice.owner.post(CONNECTIONS, json=records(oauth_provider, **change))).status_code == 404
    unknown = {"connector": "basics", "client_id": "x"}
    assert (await alice.owner.post(CLIENTS, json=unknown)).status_code == 422


async def test_a_second_tenant_finds_and_changes_nothing(
    served: Served, alice: Customer, bob: Customer, oauth_provider: Provider
) -> None:
    client = await registered(alice)
    connection = await connected(served, alice, oauth_provider)
    url, of_client = f"{CONNECTIONS}/{connection['connection_id']}", f"{CLIENTS}/{client['oauth_client_id']}"
    callback, cookie = await sent(alice, connection)
    asked = [
        bob.owner.get(url),
        bob.owner.get(f"{url}/uses"),
        bob.owner.delete(url),
        bob.owner.delete(of_client),
        bob.owner.post(f"{url}/authorize", json={}),
        bob.owner.post(f"{url}/confirm", json={"code": "k7wq2m9xtd"}),
        bob.owner.post(f"{url}/device", json={}),
        bob.owner.post(f"{url}/device/look"),
        bob.owner.post(f"{url}/secret", json={"key": "k"}),
        bob.owner.post(f"{url}/exchange", json={"subject_token": "t"}),
        bob.owner.post(f"{url}/revoke", json={"reason": "mine"}),
    ]
    for request in asked:
        answer = await request
        assert (answer.status_code, answer.json()["code"] in ("connection_not_found", "oauth_client_not_found")) == (
            404,
            True,
        ), answer.text
    assert (await bob.owner.get(CONNECTIONS)).json()["items"] == []
    assert (await bob.owner.get(CLIENTS)).json()["items"] == []
    stolen = callback | {"state": bob.tenant_id + callback["state"][callback["state"].index(".") :]}
    assert (await came_back(served, stolen, cookie)).status_code == 409
    cursor = (await alice.owner.get(CONNECTIONS, params={"limit": 1})).json()["next_cursor"] or "x"
    assert (await bob.owner.get(CONNECTIONS, params={"cursor": cursor})).status_code == 422
    ours = await made(bob, oauth_provider)
    assert ours["connection_id"] != connection["connection_id"]
    assert (await seen(alice, connection))["standing"] == "connected"


async def test_environments_and_workspaces_keep_their_own_connections(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    await registered(alice)
    live = await connected(served, alice, oauth_provider)
    trying = alice.as_key(await alice.new_key(alice.owner_id, kind="test"))
    url = f"{CONNECTIONS}/{live['connection_id']}"
    assert (await trying.get(url)).status_code == 404
    assert (await trying.get(CONNECTIONS)).json()["items"] == []
    assert (await trying.get(CLIENTS)).json()["items"] == []
    assert (await trying.post(f"{url}/revoke", json={"reason": "no"})).status_code == 404
    there = await trying.post(CONNECTIONS, json=records(oauth_provider))
    assert there.status_code == 201, "the same name, in the environment of the key"
    assert there.json()["connection_id"] != live["connection_id"]
    elsewhere = records(oauth_provider, name="other", environment_id=await alice.environment_id("live"))
    assert (await trying.post(CONNECTIONS, json=elsewhere)).status_code == 404
    begun = await trying.post(f"{CONNECTIONS}/{there.json()['connection_id']}/authorize", json={})
    assert (begun.status_code, begun.json()["code"]) == (404, "oauth_client_not_found"), "registered for live only"

    claims = (await alice.owner.post("/v1/workspaces", json={"name": "claims"})).json()["workspace_id"]
    _, narrow = await alice.person(Grant(Role.ADMIN, workspace_id=claims))
    assert (await alice.as_key(narrow).get(url)).status_code == 404
    assert (await alice.as_key(narrow).get(CONNECTIONS)).json()["items"] == []
    assert (await alice.as_key(narrow).post(CONNECTIONS, json=records(oauth_provider))).status_code == 404
    own = await alice.as_key(narrow).post(CONNECTIONS, json=records(oauth_provider, workspace_id=claims))
    assert own.status_code == 201


async def test_who_may_only_look_is_told_what_is_missing(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await connected(served, alice, oauth_provider)
    _, developer = await alice.person(Grant(Role.DEVELOPER))
    looking = alice.as_key(developer)
    url = f"{CONNECTIONS}/{connection['connection_id']}"
    assert (await looking.get(url)).status_code == 200
    refused = await looking.post(f"{url}/revoke", json={"reason": "no"})
    assert (refused.status_code, refused.json()["missing"]) == (403, Permission.CONNECTION_MANAGE)
    here_only = Grant(Role.OPERATOR, environment_id=await alice.environment_id("test"))
    principal_id, operator = await alice.person(Grant(Role.DEVELOPER), here_only)
    refused = await alice.as_key(operator).post(f"{url}/revoke", json={"reason": "no"})
    assert (refused.status_code, refused.json()["missing"]) == (403, Permission.CONNECTION_MANAGE)
    await alice.grant(principal_id, Grant(Role.OPERATOR))
    assert (await alice.as_key(operator).post(f"{url}/revoke", json={"reason": "yes"})).status_code == 200


async def test_a_key_that_ended_on_the_way_to_the_provider_connects_nothing(
    served: Served, alice: Customer, oauth_provider: Provider
) -> None:
    await registered(alice)
    connection = await made(alice, oauth_provider)
    principal_id, key = await alice.person(Grant(Role.ADMIN))
    begun = await alice.as_key(key).post(f"{CONNECTIONS}/{connection['connection_id']}/authorize", json={})
    async with Person("ana") as ana:
        callback = await ana.consent(begun.json()["authorization_url"])
    cookie = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}
    await alice.owner.post(f"/v1/principals/{principal_id}/disable", json={"reason": "left"})
    page = await came_back(served, callback, cookie)
    assert page.status_code in (401, 403)
    assert (await seen(alice, connection))["standing"] == "new"


async def test_lists_have_pages_and_filters(alice: Customer, oauth_provider: Provider) -> None:
    names = [f"account-{number}" for number in range(5)]
    for name in names:
        await made(alice, oauth_provider, name=name)
    found: list[str] = []
    asked: dict[str, Any] = {"limit": 2, "connector": "records", "standing": "new"}
    position = {"Fairlead-Position": str(await alice.served.parts.log.last_sequence())}
    while True:
        answer = (await alice.owner.get(CONNECTIONS, params=asked, headers=position)).json()
        found += [each["name"] for each in answer["items"]]
        if answer["next_cursor"] is None:
            break
        asked["cursor"] = answer["next_cursor"]
    assert found == names
    for nothing in ({"connector": "webhooks"}, {"standing": "revoked"}, {"workspace_id": "wsp_none"}):
        assert (await alice.owner.get(CONNECTIONS, params=nothing)).json()["items"] == []
    later = alice.served.core.clock.now() + timedelta(days=1)
    url = f"{CONNECTIONS}/{(await alice.owner.get(CONNECTIONS)).json()['items'][0]['connection_id']}/uses"
    assert (await alice.owner.get(url, params={"since": later.isoformat()})).json()["items"] == []
    assert (await alice.owner.get(url, params={"since": "yesterday"})).status_code == 422
    assert (await alice.owner.get(url, params={"cursor": "x"})).status_code == 422
