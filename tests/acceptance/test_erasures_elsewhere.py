"""What is known of a person goes from beside the log as well: objects, results, kept answers, webhooks, mails."""

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from fairlead_tenants.access import Grant, Role

from fairlead.adapters.nats_connection import NatsConnection
from tests.acceptance.test_erasures import ERASURES, MARKER, SUBJECT, places_of, tables
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.flaky_http import FlakyServer
from tests.support.letterbox import Letterbox, letterbox
from tests.support.webhook_receiver import Receiver, sending, subscribed
from tests.support.workflows import ECHO, at_work, echo, publish, started, the_approval, until, up_to_now

PUT, GET = "storage.put_object", "storage.get_object"
POLICY = {
    "policy": {
        "rules": [
            {"id": "store", "tools": [PUT], "verdict": "allow", "reason": "test"},
            {
                "id": "sign",
                "tools": [ECHO],
                "when": "args.text.size() > 0",
                "verdict": "require_approval",
                "reason": "test",
                "approvals": {"count": 1, "roles": ["reviewer"], "deadline_s": 3600},
            },
        ]
    }
}


@pytest.fixture(scope="module")
async def post(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Letterbox]:
    async with in_a_task_of_its_own(letterbox(tmp_path_factory.mktemp("post"))) as box:
        yield box


@pytest.fixture(scope="module")
async def served(nats_url: str, database: DatabaseUrls, post: Letterbox) -> AsyncIterator[Served]:
    settings = {
        "connectors": ("basics", "storage"),
        "mail_url": post.url,
        "mail_from": "fairlead@harbour.example",
        "mail_ca_file": post.ca_file,
        "public_url": "http://fairlead.test",
    }
    async with (
        in_a_task_of_its_own(served_api(nats_url, database, settings)) as served,
        in_a_task_of_its_own(at_work(served)),
    ):
        yield served


@pytest.fixture
async def engine(nats_url: str) -> AsyncIterator[NatsConnection]:
    connection = await NatsConnection.open(nats_url)
    yield connection
    await connection.close()


async def beside_the_log(engine: NatsConnection, tenant_id: str) -> dict[str, str]:
    """Every newest message of the tenant's on every other stream of the engine, names and all."""
    found: dict[str, str] = {}
    names: list[str] = (await engine.api("STREAM.NAMES"))["streams"]
    for name in (each for each in names if not each.startswith("EVENTS")):
        info: Any = await engine.api(f"STREAM.INFO.{name}", {"subjects_filter": ">"})
        for subject in (each for each in info["state"].get("subjects") or () if tenant_id in each.split(".")):
            asked = msgspec.json.encode({"last_by_subj": subject})
            message = msgspec.json.decode((await engine.request(f"$JS.API.STREAM.MSG.GET.{name}", asked)).data)
            if "message" in message:
                body = b64decode(message["message"].get("data", "")).decode(errors="replace")
                found[f"{name}: {subject}"] = f"{subject} {body}"
    return found


async def a_life(who: Customer, subject: str, name: str) -> str:
    """A run that stores its person, reads it so that the result is kept, and has people asked about it."""
    steps = (
        {
            "id": "store",
            "call": PUT,
            "with": {"key": f"{name}.txt", "media_type": "text/plain", "text": "${input.name}"},
        },
        {"id": "read", "call": GET, "with": {"key": f"{name}.txt"}, "on_outage": "cached"},
        echo("signed", "${input.name}"),
    )
    fields = {"tools": [ECHO, PUT, GET], "writes": ["object"], **POLICY}
    workflow = await publish(who, *steps, name=name, result={"said": "${input.name}"}, **fields)
    run_id = await started(who.owner, workflow, input={"name": f"{MARKER} {name}"}, data_subject=subject)
    approval = await the_approval(who, run_id)
    _, key = await who.person(Grant(role=Role.REVIEWER))
    body = {"digest": approval["digest"], "comment": f"fine for {MARKER}"}
    approval_id = approval["approval_id"]
    reviewer = who.as_key(key)
    signed = await reviewer.post(
        f"/v1/approvals/{approval_id}/approve", json=body, headers={"Idempotency-Key": f"sign-{name}"}
    )
    assert signed.status_code == 200, signed.text
    await until(who, f"/v1/runs/{run_id}", lambda run: approval_id not in str(run["awaited"]))
    found = await until(who, f"/v1/runs/{run_id}", lambda run: run["ended_at"] is not None)
    assert found["status"] == "completed", found
    calls = (await who.owner.get(f"/v1/runs/{run_id}/tool-calls", headers=await up_to_now(who))).json()["items"]
    asked = {"call_id": calls[-1]["call_id"]}
    explained = await who.owner.post(
        "/v1/policies/explain", json=asked, headers={"Idempotency-Key": f"why-{name}", **(await up_to_now(who))}
    )
    assert MARKER in explained.text, "an answer that shows content, and is kept for whoever asks again"
    return run_id


async def test_what_is_kept_beside_the_log_goes_with_the_person_alone(
    served: Served, database: DatabaseUrls, post: Letterbox, engine: NatsConnection
) -> None:
    alice = await served.customer("elsewhere")
    await alice.person(Grant(role=Role.REVIEWER))
    async with FlakyServer.at() as server:
        receiver = Receiver(server, "/in")
        webhook_id = await subscribed(alice, receiver, "run.*", "tool_call.*", "approval.*")
        async with sending(served, server):
            await a_life(alice, SUBJECT, "one")
            other = await a_life(alice, "customer:4712", "other")
            await receiver.until(lambda receiver: receiver.types().count("run.completed.v1") == 2)
            before = await beside_the_log(engine, alice.tenant_id)
            assert {place.partition(":")[0] for place in places_of(f"{MARKER} one", before)} >= {"OBJECTS"}, (
                before.keys()
            )
            assert places_of(MARKER, await tables(database, alice.tenant_id)) == {"idempotency"}
            assert post.letters
            assert all(MARKER not in str(letter) for _, letter in post.letters)

            erased = await alice.owner.post(ERASURES, json={"data_subject": SUBJECT, "reason": "request 12"})
            assert erased.status_code == 201, erased.text
            after = await beside_the_log(engine, alice.tenant_id)
            assert places_of(f"{MARKER} one", after) == set()
            assert {place.partition(":")[0] for place in places_of(f"{MARKER} other", after)} == {"OBJECTS"}
            assert places_of(f"{MARKER} one", await tables(database, alice.tenant_id)) == set()

            receiver.taken.clear()
            replay = {"since": "2000-01-01T00:00:00Z"}
            again = await alice.owner.post(f"/v1/webhooks/{webhook_id}/replay", json=replay)
            assert again.status_code == 202, again.text
            await receiver.until(lambda receiver: receiver.types().count("run.completed.v1") == 2)
    said = msgspec.json.encode(receiver.taken).decode()
    assert f"{MARKER} one" not in said
    assert "$erased" in said
    assert MARKER in (await alice.owner.get(f"/v1/runs/{other}", headers=await up_to_now(alice))).text
