"""A request with an idempotency key happens once, whatever becomes of its answers."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role
from msgspec.structs import replace

from fairlead.api.idempotency import (
    MAX_KEPT_BYTES,
    MOST_OWED_BYTES,
    Answer,
    Asked,
    Idempotency,
    key_of,
    request_hash,
)
from fairlead.api.problems import KeyReused, TryAgain
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.commands import CreateWorkspace
from fairlead.domain.tenants.identity import principal_of
from fairlead.handling.handler import Cause
from tests.support.api import Customer, Served
from tests.support.database import columns

PATH = "/v1/workspaces"
CLAIMS = {"name": "claims"}
KEY = {"Idempotency-Key": "4711"}
_LEASE_OVER = "UPDATE idempotency SET lease_until = now() - interval '1 second'"
_A_DAY_LATER = "UPDATE idempotency SET created_at = created_at - interval '25 hours'"
_ROWS = "SELECT status, body, headers, command_id FROM idempotency"


async def make(customer: Customer, name: str = "claims", key: str = "4711") -> httpx2.Response:
    return await customer.owner.post(PATH, json={"name": name}, headers={"Idempotency-Key": key})


async def names(customer: Customer) -> list[str]:
    return [each["name"] for each in (await customer.owner.get(PATH)).json()["items"]]


async def kept(served: Served, customer: Customer, count: int = 1) -> list[dict[str, Any]]:
    """The rows of the customer's keys, once so many answers are kept: that comes a moment after they were sent."""
    async with asyncio.timeout(5):
        while True:
            async with served.parts.database.read(customer.tenant_id) as tx:
                rows = await tx.rows(_ROWS, None, columns)
            if sum(row["status"] is not None for row in rows) >= count:
                return rows
            await asyncio.sleep(0.01)


def asked_of(served: Served, customer: Customer, body: bytes) -> Asked:
    key = key_of([(b"idempotency-key", b"4711")])
    assert key is not None
    request = served.parts.keys.digest(request_hash("POST", PATH, b"", body))
    return Asked(tenant_id=customer.tenant_id, principal_id=customer.owner_id, key=key, request=request)


async def test_the_same_request_again_has_the_same_answer(alice: Customer) -> None:
    first, again = await make(alice), await make(alice)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    for name in ("Location", "Content-Type", "Fairlead-Position"):
        assert again.headers[name] == first.headers[name]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert sorted(await names(alice)) == ["claims", "default"]


async def test_a_key_stands_for_one_request(alice: Customer) -> None:
    await make(alice)
    other = await make(alice, "other")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = await alice.owner.post("/v1/environments", json={"name": "x", "kind": "test"}, headers=KEY)
    assert elsewhere.json()["code"] == "idempotency_key_reused"


async def test_keys_of_other_tenants_and_of_other_principals_are_other_keys(
    served: Served, alice: Customer, bob: Customer
) -> None:
    assert (await make(alice)).status_code == 201
    mine = await make(bob, "bobs")
    assert (mine.status_code, mine.json()["name"]) == (201, "bobs")
    _, key = await alice.person(Grant(Role.ADMIN))
    colleague = await alice.as_key(key).post(PATH, json={"name": "another"}, headers=KEY)
    assert (colleague.status_code, colleague.json()["name"]) == (201, "another")


async def test_of_many_at_once_one_is_carried_out(alice: Customer) -> None:
    answers = await asyncio.gather(*(make(alice) for _ in range(20)))
    made = [answer for answer in answers if answer.status_code == 201 and "Idempotency-Replayed" not in answer.headers]
    assert len(made) == 1
    for answer in answers:
        assert answer.status_code in (201, 409)
        if answer.status_code == 409:
            assert answer.json()["code"] == "try_again"
            assert int(answer.headers["Retry-After"]) >= 1
        else:
            assert answer.json() == made[0].json()
    assert Counter(await names(alice))["claims"] == 1


async def test_a_request_whose_process_died_is_finished_by_the_next_and_has_one_effect(
    served: Served, alice: Customer
) -> None:
    body = b'{"name":"claims"}'
    asked = asked_of(served, alice, body)
    command_id = CommandId(served.parts.ids.new("cmd"))
    assert await Idempotency(served.parts.database).claim(asked, command_id) == command_id
    by = principal_of(await alice.state(), alice.owner_id)
    made = f"wsp_{command_id.removeprefix('cmd_')}"
    command = CreateWorkspace(by=by, now=served.parts.clock.now(), workspace_id=made, name="claims")  # type: ignore[arg-type]
    await served.parts.handler.handle(alice.stream, command, Cause(actor=SYSTEM, command_id=command_id))

    headers = KEY | {"Content-Type": "application/json"}
    waiting = await alice.owner.post(PATH, content=body, headers=headers)
    assert (waiting.status_code, waiting.json()["code"]) == (409, "try_again")
    async with served.parts.database.tenant(alice.tenant_id) as tx:
        await tx.run(_LEASE_OVER)
    finished = await alice.owner.post(PATH, content=body, headers=headers)
    assert (finished.status_code, finished.json()["workspace_id"]) == (201, made)
    assert Counter(await names(alice))["claims"] == 1
    assert (await alice.owner.post(PATH, content=body, headers=headers)).headers["Idempotency-Replayed"] == "true"


async def test_an_answer_that_was_just_sent_is_there_for_every_process(served: Served, alice: Customer) -> None:
    async with served.beside() as other:
        first = await make(alice)
        again, elsewhere = await asyncio.gather(
            make(alice), other.client(alice.key).post(PATH, json=CLAIMS, headers=KEY)
        )
    for repeated in (again, elsewhere):
        assert (repeated.status_code, repeated.json()) == (201, first.json())
        assert repeated.headers["Idempotency-Replayed"] == "true"
    assert Counter(await names(alice))["claims"] == 1


async def test_between_an_answer_and_its_keeping_the_key_stands_for_the_same_request(
    served: Served, alice: Customer
) -> None:
    mine, died = Idempotency(served.parts.database), Idempotency(served.parts.database, gather_s=3600)
    asked, command_id = asked_of(served, alice, b"{}"), CommandId("cmd_1")
    answer = Answer(status=201, headers={"etag": '"1"'}, body=b"{}")
    assert await died.claim(asked, command_id) == command_id
    await died.settle(asked, command_id, answer)
    assert await died.claim(asked, CommandId("cmd_2")) == answer
    for other_request in (died, mine):
        with pytest.raises(KeyReused):
            await other_request.claim(replace(asked, request=b"x" * 32), CommandId("cmd_2"))
    with pytest.raises(TryAgain):  # nobody knows yet that its process is gone
        await mine.claim(asked, CommandId("cmd_2"))
    async with served.parts.database.tenant(alice.tenant_id) as tx:
        await tx.run(_LEASE_OVER)
    assert await mine.claim(asked, CommandId("cmd_2")) == command_id, "it is carried out again under its own id"
    await mine.settle(asked, command_id, answer)
    await mine.finish()
    await died.finish()
    assert await Idempotency(served.parts.database).claim(asked, CommandId("cmd_2")) == answer


async def test_what_a_process_owes_is_kept_when_it_ends(served: Served, alice: Customer) -> None:
    async with served.beside() as other:
        made = await other.client(alice.key).post(PATH, json=CLAIMS, headers=KEY)
    assert made.status_code == 201
    (row,) = await kept(served, alice)
    assert (row["status"], row["body"]) == (201, made.content)


async def test_answers_that_would_take_much_memory_wait_until_they_are_kept(served: Served, alice: Customer) -> None:
    idempotency = Idempotency(served.parts.database, gather_s=3600)
    answer = Answer(status=201, headers={}, body=b"x" * MAX_KEPT_BYTES)
    most = MOST_OWED_BYTES // MAX_KEPT_BYTES
    for number in range(most + 1):
        asked = replace(asked_of(served, alice, b"{}"), key=bytes([number]) * 32)
        await idempotency.settle(asked, await claimed(idempotency, asked, f"cmd_{number}"), answer)
    rows = await kept(served, alice)
    assert sorted(row["command_id"] for row in rows if row["status"] is not None) == [f"cmd_{most}"]
    await idempotency.finish()
    assert len(await kept(served, alice, most + 1)) == most + 1


async def claimed(idempotency: Idempotency, asked: Asked, command_id: str) -> CommandId:
    found = await idempotency.claim(asked, CommandId(command_id))
    assert not isinstance(found, Answer), "nobody has asked before"
    return found


async def test_a_refusal_is_not_kept_so_the_request_can_be_mended(alice: Customer) -> None:
    wrong = await make(alice, "Not A Slug")
    assert wrong.status_code == 422
    assert (await make(alice, "a-slug")).status_code == 201


async def test_after_a_day_a_key_is_new(served: Served, alice: Customer) -> None:
    assert (await make(alice)).status_code == 201
    await kept(served, alice)
    async with served.parts.database.tenant(alice.tenant_id) as tx:
        await tx.run(_A_DAY_LATER)
    assert (await make(alice, "other")).status_code == 201


async def test_the_text_of_an_api_key_is_in_one_answer_and_in_no_table(served: Served, alice: Customer) -> None:
    environment_id = await alice.environment_id()
    wanted = {"name": "import", "environment_id": environment_id}
    issued = await alice.owner.post("/v1/keys", json=wanted, headers=KEY)
    assert issued.status_code == 201, issued.text
    secret = issued.json()["secret"]
    assert (await alice.as_key(secret).get("/v1/me")).json()["principal_id"] == alice.owner_id
    again = await alice.owner.post("/v1/keys", json=wanted, headers=KEY)
    assert again.json() == issued.json() | {"secret": None}
    rows = await kept(served, alice)
    assert secret.split("_")[3] not in repr(rows)


async def test_a_key_that_is_none_is_refused(alice: Customer) -> None:
    for key in ("", "x" * 256):
        answer = await make(alice, key=key)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "/Idempotency-Key")
