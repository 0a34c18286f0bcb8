"""Webhooks from the subscription to the receiver: signed, in order, again and again, and nobody at another's cost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from fairlead_sdk.webhook_signing import key_of, signature
from fairlead_tenants.access import Grant, Role
from msgspec.structs import replace
from standardwebhooks import Webhook, WebhookVerificationError

from fairlead.adapters.webhook_book import PostgresWebhookBook
from fairlead.domain.webhooks.deliveries import Tally
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.clock import ManualClock
from tests.support.documents import ask
from tests.support.flaky_http import FlakyServer, reply, stalled
from tests.support.webhook_receiver import QUICK, SOON_S, Receiver, sending, subscribed
from tests.support.workflows import at_work, echo, publish, started, until_status

_names = (f"claims{number}" for number in count(1))
TESTED = "webhook.test_requested.v1"


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


@pytest.fixture
async def server() -> AsyncIterator[FlakyServer]:
    async with FlakyServer.at() as running:
        yield running


async def something_happens(customer: Customer) -> str:
    """A workspace is made; its name."""
    name = next(_names)
    assert (await customer.owner.post("/v1/workspaces", json={"name": name})).status_code == 201
    return name


async def look(customer: Customer, webhook_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await customer.owner.get(f"/v1/webhooks/{webhook_id}")).json()
    return found


async def until_look(customer: Customer, webhook_id: str, field: str, value: object) -> dict[str, Any]:
    async with asyncio.timeout(SOON_S):
        while (found := await look(customer, webhook_id)).get(field) != value:  # noqa: ASYNC110  # asked over HTTP
            await asyncio.sleep(0.02)
    return found


async def test_a_receiver_is_told_of_a_run_in_order_as_its_timeline_shows_it(
    served: Served, server: FlakyServer, alice: Customer, bob: Customer
) -> None:
    mine, theirs = Receiver(server, "/alice"), Receiver(server, "/bob")
    webhook_id = await subscribed(alice, mine, "run.*", "tool_call.*", "approval.*")
    await subscribed(bob, theirs, "*")
    async with sending(served, server):
        run_id = await started(alice.owner, await publish(alice, echo("a"), echo("b"), result={}))
        await until_status(alice, run_id, "completed")
        await mine.until(lambda receiver: "run.completed.v1" in receiver.types())
        found = await until_look(alice, webhook_id, "waiting", 0)
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?limit=200")).json()["items"]
    assert [body["data"] for body in mine.taken] == timeline
    assert {body["data"]["run_id"] for body in theirs.taken} <= {None}
    assert (found["status"], found["failing_since"], found["last_error"]) == ("enabled", None, None)
    deliveries = (await alice.owner.get(f"/v1/webhooks/{webhook_id}/deliveries?limit=200")).json()["items"]
    assert [each["position"] for each in reversed(deliveries)] == [event["position"] for event in timeline]
    assert {(each["status"], each["attempts"], each["answer_status"]) for each in deliveries} == {("delivered", 1, 204)}


async def test_what_one_run_fails_with_holds_back_that_run_alone(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver = Receiver(server, "/in")
    webhook_id = await subscribed(alice, receiver, "run.*")
    workflow = await publish(alice, ask("q"))
    stuck, free = await started(alice.owner, workflow), await started(alice.owner, workflow)
    receiver.answers = lambda body: reply(500 if body["data"]["run_id"] == stuck else 204, b"")
    async with sending(served, server):
        await receiver.until(lambda receiver: "run.question_asked.v1" in receiver.types())
        assert {body["data"]["run_id"] for body in receiver.taken} == {free}
        await receiver.until(lambda receiver: len(receiver.asked) > len(receiver.taken) + 2)
        tried = {asked.headers["webhook-id"] for asked in receiver.asked} - {
            body["data"]["position"] for body in receiver.taken
        }
        assert len(tried) == 1
        receiver.answers = lambda _: reply(204, b"")
        await receiver.until(lambda receiver: receiver.types().count("run.question_asked.v1") == 2)
        await until_look(alice, webhook_id, "waiting", 0)
    for run_id in (stuck, free):
        versions = [body["data"]["version"] for body in receiver.taken if body["data"]["run_id"] == run_id]
        assert versions == sorted(versions)
        assert versions[0] == 1


async def test_a_worker_that_dies_in_the_middle_loses_nothing_and_the_next_one_keeps_the_order(
    served: Served, server: FlakyServer, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(server, "/in")
    await subscribed(alice, receiver, "tenant.workspace_created")
    names = [await something_happens(alice) for _ in range(3)]
    receiver.answers = lambda body: stalled(server) if body["data"]["data"]["name"] == names[1] else reply(204, b"")
    with monkeypatch.context() as dying:
        dying.setattr(PostgresWebhookBook, "let_go", _dead)  # nobody hears that it has ended
        async with sending(served, server, name="first"):
            await receiver.until(lambda receiver: len(receiver.asked) == 2)
    receiver.answers = lambda _: reply(204, b"")
    async with sending(served, server, name="second"), sending(served, server, name="third"):
        names += [await something_happens(alice) for _ in range(3)]
        await receiver.until(lambda receiver: len(receiver.taken) == len(names))
    assert [body["data"]["data"]["name"] for body in receiver.taken] == names
    assert len(receiver.asked) == len(names) + 1  # the one that was under way is sent again, under its id


async def _dead(*_: object) -> None:
    """The process is gone."""


async def test_a_dead_receiver_is_disabled_with_notice_and_delays_nobody(
    served: Served, server: FlakyServer, alice: Customer, bob: Customer
) -> None:
    dead, alive, told = Receiver(server, "/dead"), Receiver(server, "/alive"), Receiver(server, "/told")
    dead.answers = lambda _: reply(503, b"", retry_after="0")
    webhook_id = await subscribed(alice, dead, "tenant.workspace_created")
    await subscribed(alice, told, "webhook.disabled")
    await subscribed(bob, alive, "tenant.workspace_created")
    first = await something_happens(alice)
    async with sending(served, server, replace(QUICK, dead_after=timedelta(milliseconds=300))):
        await something_happens(bob)
        await alive.until(lambda receiver: len(receiver.taken) == 1)
        await told.until(lambda receiver: len(receiver.taken) == 1)
        assert told.taken[0]["data"]["stream_id"] == webhook_id
        assert told.taken[0]["data"]["data"]["by"] == "failures"
        found = await until_look(alice, webhook_id, "status", "disabled")
        assert (found["disabled_by"], found["waiting"], found["last_error"]) == ("failures", 1, "http_503")
        second = await something_happens(alice)
        dead.answers = lambda _: reply(204, b"")
        assert (await alice.owner.post(f"/v1/webhooks/{webhook_id}/enable", json={})).status_code == 200
        await dead.until(lambda receiver: len(receiver.taken) == 2)
    assert [body["data"]["data"]["name"] for body in dead.taken] == [first, second]


async def test_a_receiver_that_is_gone_is_disabled_at_once(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver = Receiver(server, "/in")
    receiver.answers = lambda _: reply(410, b"")
    webhook_id = await subscribed(alice, receiver)
    async with sending(served, server):
        await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
        found = await until_look(alice, webhook_id, "status", "disabled")
    assert found["disabled_by"] == "gone"
    again = await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
    assert (again.status_code, again.json()["code"]) == (409, "webhook_disabled")


async def test_both_secrets_sign_during_the_overlap_and_the_old_one_not_after(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver = Receiver(server, "/in")
    webhook_id = await subscribed(alice, receiver)
    old = receiver.secret
    headers = {"Idempotency-Key": "rotate-1"}
    rotation = f"/v1/webhooks/{webhook_id}/rotate"
    made = (await alice.owner.post(rotation, json={"overlap_s": 3600}, headers=headers)).json()
    assert made["secret"] not in (None, old)
    assert (await alice.owner.post(rotation, json={"overlap_s": 3600}, headers=headers)).json()["secret"] is None
    async with sending(served, server):
        await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
        await receiver.until(lambda receiver: receiver.types() == [TESTED])
        sent = receiver.asked[0]
        for secret in (old, made["secret"]):
            assert Webhook(secret).verify(sent.body, sent.headers)
        newest = (await alice.owner.post(rotation, json={"overlap_s": 0})).json()["secret"]
        receiver.secret = newest
        await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
        await receiver.until(lambda receiver: receiver.types() == [TESTED, TESTED])
        for secret in (old, made["secret"]):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(receiver.asked[1].body, receiver.asked[1].headers)
    assert old not in str(await look(alice, webhook_id))


async def test_the_old_secret_signs_up_to_the_end_of_the_overlap_and_not_at_it(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver = Receiver(server, "/in")
    webhook_id = await subscribed(alice, receiver)
    old, receiver.secret = receiver.secret, ""  # by the clock of the sender, which is not the receiver's
    made = (await alice.owner.post(f"/v1/webhooks/{webhook_id}/rotate", json={"overlap_s": 7200})).json()
    clock = ManualClock(datetime.fromisoformat(made["overlap_until"]) - timedelta(microseconds=1))
    async with sending(served, server, clock=clock):
        for signers in ([made["secret"], old], [made["secret"]]):
            receiver.asked.clear()
            await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
            await receiver.until(lambda receiver: len(receiver.asked) == 1)
            (sent,) = receiver.asked
            at = int(sent.headers["webhook-timestamp"])
            expected = [signature(key_of(each), sent.headers["webhook-id"], at, sent.body) for each in signers]
            assert sent.headers["webhook-signature"].split() == expected
            clock.forward(timedelta(microseconds=1))


async def test_runs_keep_their_order_while_requests_fail_and_two_processes_send_and_die(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver, failing = Receiver(server, "/in"), count(1)
    receiver.answers = lambda _: reply(503 if next(failing) % 3 == 0 else 204, b"")
    webhook_id = await subscribed(alice, receiver, "run.*", "tool_call.*")
    workflow = await publish(alice, echo("a"), echo("b"), result={})
    async with sending(served, server, name="first"):
        async with sending(served, server, name="second"):
            runs = [await started(alice.owner, workflow) for _ in range(3)]
            await receiver.until(lambda receiver: len(receiver.taken) > 5)
        runs += [await started(alice.owner, workflow) for _ in range(3)]
        await receiver.until(lambda receiver: len(receiver.taken) > 20)
    async with sending(served, server, name="third"), sending(served, server, name="fourth"):
        await receiver.until(lambda receiver: receiver.types().count("run.completed.v1") >= len(runs))
        await until_look(alice, webhook_id, "waiting", 0)
    assert len(receiver.asked) > len(receiver.taken)
    for run_id in runs:
        told = [body["data"]["version"] for body in receiver.taken if body["data"]["run_id"] == run_id]
        assert told == sorted(told)  # what was under way when a process ended may come twice
        assert set(told) == set(range(1, told[-1] + 1))


async def test_webhooks_that_were_given_up_are_counted_for_the_operator(served: Served, alice: Customer) -> None:
    for worker in ("one", "other"):  # every process knows of all
        told = Tally(waiting=0, failing=0, disabled=99, delivered=0, failed=0)
        await PostgresWebhookBook(served.parts.database, worker).tell(told)
    assert "fairlead_webhooks_given_up 99.0" in (await alice.owner.get("/metrics")).text


async def test_what_was_sent_is_sent_again_under_its_first_id(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver = Receiver(server, "/in")
    webhook_id = await subscribed(alice, receiver, "tenant.workspace_created")
    replay = f"/v1/webhooks/{webhook_id}/replay"
    async with sending(served, server):
        for _ in range(3):
            await something_happens(alice)
        await receiver.until(lambda receiver: len(receiver.taken) == 3)
        ids = [body["data"]["position"] for body in receiver.taken]
        assert (await alice.owner.post(replay, json={"position": ids[1]})).status_code == 202
        await receiver.until(lambda receiver: len(receiver.taken) == 4)
        assert (await alice.owner.post(replay, json={"after": ids[0]})).status_code == 202
        await receiver.until(lambda receiver: len(receiver.taken) == 6)
        since = receiver.taken[0]["timestamp"]
        assert (await alice.owner.post(replay, json={"since": since})).status_code == 202
        await receiver.until(lambda receiver: len(receiver.taken) == 9)
    told = [body["data"]["position"] for body in receiver.taken]
    assert told == [*ids, ids[1], *ids[1:], *ids]
    assert (await alice.owner.post(replay, json={})).status_code == 422


async def test_a_webhook_of_one_workflow_is_told_of_its_runs_only(
    served: Served, server: FlakyServer, alice: Customer
) -> None:
    receiver = Receiver(server, "/in")
    one, other = await publish(alice, ask("q")), await publish(alice, ask("q"), name="others")
    webhook_id = await subscribed(alice, receiver, "*", workflow_id=one)
    await started(alice.owner, other)
    wanted = await started(alice.owner, one)
    await something_happens(alice)
    async with sending(served, server):
        await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
        await receiver.until(lambda receiver: TESTED in receiver.types())
        await receiver.until(lambda receiver: "run.question_asked.v1" in receiver.types())
    assert {body["data"]["run_id"] for body in receiver.taken} == {wanted, None}
    assert [body["type"] for body in receiver.taken if body["data"]["run_id"] is None] == [TESTED]


async def test_a_private_address_is_not_spoken_to(served: Served, server: FlakyServer, alice: Customer) -> None:
    made = await alice.owner.post("/v1/webhooks", json={"url": "https://169.254.169.254/latest", "events": ["*"]})
    webhook_id = made.json()["webhook_id"]
    async with sending(served, server):
        await alice.owner.post(f"/v1/webhooks/{webhook_id}/test", json={})
        await until_look(alice, webhook_id, "last_error", "egress_denied")


async def test_another_tenant_finds_nothing_and_changes_nothing(alice: Customer, bob: Customer) -> None:
    made = await alice.owner.post("/v1/webhooks", json={"url": "https://hooks.example/in", "events": ["run.*"]})
    webhook_id = made.json()["webhook_id"]
    place = f"/v1/webhooks/{webhook_id}"
    for path in (place, f"{place}/deliveries"):
        assert (await bob.owner.get(path)).status_code == 404
    for action in ("test", "rotate", "enable"):
        assert (await bob.owner.post(f"{place}/{action}", json={})).status_code == 404
    assert (await bob.owner.patch(place, json={"url": "https://evil.example/"})).status_code == 404
    assert (await bob.owner.delete(place)).status_code == 404
    assert (await bob.owner.get("/v1/webhooks")).json()["items"] == []
    removed = await alice.owner.delete(place)
    assert removed.status_code == 204
    seen = {"Fairlead-Position": removed.headers["fairlead-position"]}
    assert (await alice.owner.get(place, headers=seen)).status_code == 404


async def test_who_manages_one_workspace_is_told_of_that_workspace_only(alice: Customer) -> None:
    workspace_id = (await alice.owner.post("/v1/workspaces", json={"name": next(_names)})).json()["workspace_id"]
    _, key = await alice.person(Grant(Role.ADMIN, workspace_id=workspace_id))
    narrow, body = alice.as_key(key), {"url": "https://hooks.example/in", "events": ["*"]}
    assert (await narrow.post("/v1/webhooks", json=body)).status_code == 404
    other = await alice.workspace_id()
    assert (await narrow.post("/v1/webhooks", json=body | {"workspace_id": other})).status_code == 404
    made = await narrow.post("/v1/webhooks", json=body | {"workspace_id": workspace_id})
    assert made.status_code == 201
    answer = await alice.owner.post("/v1/webhooks", json=body)
    everywhere, seen = answer.json()["webhook_id"], {"Fairlead-Position": answer.headers["fairlead-position"]}
    listed = (await narrow.get("/v1/webhooks", headers=seen)).json()["items"]
    assert [each["webhook_id"] for each in listed] == [made.json()["webhook_id"]]
    assert (await narrow.get(f"/v1/webhooks/{everywhere}")).status_code == 404
    assert (await narrow.post(f"/v1/webhooks/{everywhere}/test", json={})).status_code == 404


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"events": ["run.compleated"]}, "no_such_event"),
        ({"url": "https://anna:parole@hooks.example/"}, "secret_in_url"),
        ({"url": "ftp://hooks.example/"}, None),
        ({"events": []}, None),
        ({"workspace_id": "wsp_none"}, "workspace_not_found"),
    ],
)
async def test_a_webhook_that_could_not_work_is_refused(
    alice: Customer, changed: dict[str, Any], code: str | None
) -> None:
    body = {"url": "https://hooks.example/in", "events": ["run.*"], **changed}
    answer = await alice.owner.post("/v1/webhooks", json=body)
    assert answer.status_code in (400, 422)
    assert code is None or code in answer.text
