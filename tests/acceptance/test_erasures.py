"""What is known of a person is nowhere in the clear, and nowhere at all once it was erased."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from fairlead_ledger.keys import Trust, read_keys
from fairlead_ledger.reading import check_file
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from psycopg import sql

from fairlead.domain.envelope import Sequence
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.database import DatabaseUrls
from tests.support.workflows import (
    asking_people,
    at_work,
    echo,
    publish,
    started,
    the_approval,
    until,
    until_status,
    up_to_now,
)

ERASURES = "/v1/erasures"
SUBJECT = "customer:4711"
MARKER = "Ada-Lovelace-of-Marylebone"
STEPS = (
    echo("signed", "${input.name}"),
    {**echo("dead", "${input.long}"), "continue": True},
    {"id": "asked", "ask": {"question": "Go on with ${input.name}?", "schema": {"type": "string"}}},
    {"id": "told", "wait": {"signal": "go"}},
)


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def a_life(who: Customer, subject: str | None, name: str = "life") -> str:
    """A run in which every content there is has the marker."""
    workflow = await publish(who, *STEPS, name=name, result={"said": "${input.name}"}, **asking_people())
    given = {"name": MARKER, "long": MARKER * 500}
    run_id = await started(who.owner, workflow, input=given, **({"data_subject": subject} if subject else {}))
    _, key = await who.person(Grant(role=Role.REVIEWER), Grant(role=Role.OPERATOR))
    reviewer = who.as_key(key)
    await _signed(who, reviewer, await the_approval(who, run_id))
    run = await until_status(who, run_id, "waiting_for_input")
    question = run["awaited"]["questions"][0]
    assert MARKER in question["question"]
    answered = await reviewer.post(
        f"/v1/runs/{run_id}/questions/{question['question_id']}/answer", json={"answer": MARKER}
    )
    assert answered.status_code == 200, answered.text
    await until_status(who, run_id, "waiting_for_signal")
    signal = {"signal_id": "s1", "name": "go", "payload": {"who": MARKER}}
    assert (await who.owner.post(f"/v1/runs/{run_id}/signals", json=signal)).status_code == 200
    await until_status(who, run_id, "completed")
    case = {"label": "wrong_result", "comment": f"not {MARKER}", "expected": {"name": MARKER}}
    assert (await who.owner.post(f"/v1/runs/{run_id}/reports", json=case)).status_code == 201
    return run_id


async def _signed(who: Customer, reviewer: httpx2.AsyncClient, approval: Any) -> None:
    approval_id, run = approval["approval_id"], f"/v1/runs/{approval['run_id']}"
    body = {"digest": approval["digest"], "comment": f"fine for {MARKER}"}
    signed = await reviewer.post(f"/v1/approvals/{approval_id}/approve", json=body)
    assert signed.status_code == 200, signed.text
    await until(who, run, lambda run: approval_id not in str(run["awaited"]))


async def shown(who: Customer, run_id: str) -> dict[str, str]:
    """Everything that the API shows of a run, by path."""
    at, found = await up_to_now(who), {}
    paths = [f"/v1/runs/{run_id}{rest}" for rest in ("", "/timeline?limit=200", "/state", "/tool-calls", "/export")]
    paths += [
        f"/v1/dead-letters?run_id={run_id}",
        "/v1/cases",
        f"/v1/runs/{run_id}/bundle",
        "/v1/exports/events?from=2000-01-01T00:00:00Z",
    ]
    paths += [f"/v1/runs/{run_id}/export?format=csv"]
    for path in paths:
        answer = await who.owner.get(path, headers=at)
        assert answer.status_code == 200, (path, answer.text)
        found[path] = answer.text
    return found


async def tables(database: DatabaseUrls, tenant_id: str) -> dict[str, str]:
    """Every row of every table of the tenant, as text; bytes are in hex."""
    found = {}
    with psycopg.connect(database.admin) as admin:
        names = [name for (name,) in admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for name in names:
            table = sql.Identifier(name)
            rows = admin.execute(sql.SQL("SELECT t::text FROM {} AS t").format(table)).fetchall()
            found[name] = "\n".join(row for (row,) in rows if tenant_id in row)
    return found


def places_of(marker: str, texts: dict[str, str]) -> set[str]:
    signs = (marker, marker.encode().hex())
    return {place for place, text in texts.items() if any(sign in text for sign in signs)}


async def log_of(served: Served) -> dict[str, str]:
    """Every message of the log, and the blobs that they name."""
    last = await served.core.log.last_sequence()
    async with served.core.copies.copies(Sequence(0)) as batches:
        found: dict[str, str] = {}
        async for batch in batches:
            found |= {f"{copy.stream.kind} at {copy.sequence}": copy.body.decode() for copy in batch}
            if not batch or batch[-1].sequence >= last:
                return found
    raise AssertionError("a log is followed without end")


async def trust_of(who: Customer) -> Trust:
    keys = read_keys((await who.owner.get("/v1/ledger/keys")).content)
    return Trust([bytes.fromhex(keys[0].public_key)], keys)


async def test_a_person_is_erased_everywhere_and_the_ledger_still_verifies(
    served: Served, database: DatabaseUrls, alice: Customer, bob: Customer, tmp_path: Path
) -> None:
    run_id, other = await a_life(alice, SUBJECT), await a_life(alice, "customer:4712", "other-life")
    before = await shown(alice, run_id)
    assert set(before) - places_of(MARKER, before) == set(), "whoever may see it sees it"
    assert places_of(MARKER, await log_of(served)) == set()
    kept = await tables(database, alice.tenant_id)
    assert places_of(MARKER, kept) == set()
    assert all(kept[name] for name in ("run_commits", "tool_calls", "approvals", "dead_letters", "cases"))
    backup = (tmp_path / "before.json").write_text(before[f"/v1/runs/{run_id}/export"])
    assert backup
    assert check_file(tmp_path / "before.json", await trust_of(alice)).findings == []

    asked = {"data_subject": SUBJECT, "reason": "request 12"}
    assert (await bob.owner.post(ERASURES, json=asked)).json()["keys"] == 0, "another tenant's subject is another"
    erasure = await alice.owner.post(ERASURES, json=asked)
    assert erasure.status_code == 201, erasure.text
    receipt = erasure.json()
    assert (receipt["keys"], receipt["streams"], receipt["scope"]) == (1, 2, "data_subject"), "the run and its approval"
    assert SUBJECT not in erasure.text
    assert (await alice.owner.get(erasure.headers["Location"])).json() == receipt
    assert (await bob.owner.get(erasure.headers["Location"])).status_code == 404

    after = await shown(alice, run_id)
    assert places_of(MARKER, {path: text for path, text in after.items() if run_id in path}) == set()
    assert "erased" in after[f"/v1/runs/{run_id}"]
    assert MARKER in (await shown(alice, other))[f"/v1/runs/{other}"], "another person's is still there"
    assert places_of(MARKER, await tables(database, alice.tenant_id)) == set()
    for name, form in (("export", "json"), ("export", "csv")):
        file = tmp_path / f"after.{form}"
        answer = await alice.owner.get(f"/v1/runs/{run_id}/{name}", params={"format": form})
        file.write_bytes(answer.content)
        if form == "csv":
            size = answer.headers["Fairlead-Ledger-Size"]
            proof = await alice.owner.get(f"/v1/runs/{run_id}/{name}", params={"format": "proof", "head": size})
            file.with_name(f"{file.name}.proof.ndjson").write_bytes(proof.content)
        assert check_file(file, await trust_of(alice)).findings == []


async def ended(who: Customer, subject: str, name: str) -> str:
    workflow = await publish(who, echo("a", "${input.name}"), name=name, result={})
    run_id = await started(who.owner, workflow, input={"name": MARKER}, data_subject=subject)
    await until_status(who, run_id, "completed")
    return run_id


async def test_a_key_that_a_backup_brings_back_opens_nothing_and_is_destroyed_again(
    served: Served, database: DatabaseUrls, alice: Customer
) -> None:
    run_id = await ended(alice, SUBJECT, "short")
    rows = "SELECT key_id, wrapping_key_id, wrapped_key FROM content_keys WHERE tenant_id = %s AND subject <> ''"
    with psycopg.connect(database.admin, autocommit=True) as admin:
        (saved,) = admin.execute(rows, [alice.tenant_id]).fetchall()
        assert (await alice.owner.post(ERASURES, json={"data_subject": SUBJECT, "reason": "x"})).status_code == 201
        assert admin.execute(rows, [alice.tenant_id]).fetchall() == [(saved[0], None, None)]
        admin.execute(
            "UPDATE content_keys SET wrapping_key_id = %s, wrapped_key = %s, destroyed_at = NULL WHERE key_id = %s",
            [saved[1], saved[2], saved[0]],
        )
        run = await alice.owner.get(f"/v1/runs/{run_id}", headers=await up_to_now(alice))
        assert MARKER not in run.text, "whatever the database says"
        assert MARKER not in (await alice.owner.get(f"/v1/runs/{run_id}")).text
        again = await ended(alice, SUBJECT, "short-again")
        assert MARKER in (await alice.owner.get(f"/v1/runs/{again}", headers=await up_to_now(alice))).text
        found = admin.execute(rows, [alice.tenant_id]).fetchall()
        assert [key for key in found if key[0] == saved[0]] == [(saved[0], None, None)]


async def test_nothing_is_erased_that_is_held_or_under_way_or_by_whoever_may_not(alice: Customer) -> None:
    asked = {"data_subject": SUBJECT, "reason": "x"}
    _, admin = await alice.person(Grant(role=Role.ADMIN))
    assert (await alice.as_key(admin).post(ERASURES, json=asked)).status_code == 403
    for wrong in ({"reason": "x"}, {**asked, "tenant": True}, {"tenant": True, "reason": "x", "confirm": "tnt_other"}):
        assert (await alice.owner.post(ERASURES, json=wrong)).status_code == 422, wrong
    waits = {"id": "w", "wait": {"signal": "go"}}
    workflow = await publish(alice, waits, name="waits", result={})
    run_id = await started(alice.owner, workflow, input={"name": MARKER}, data_subject=SUBJECT)
    refused = await alice.owner.post(ERASURES, json=asked)
    assert (refused.status_code, refused.json()["code"]) == (409, "erasure_of_runs_under_way")
    assert run_id in refused.json()["detail"]
    assert (await alice.owner.post(f"/v1/runs/{run_id}/cancel", json={"reason": "x"})).status_code == 200
    hold = (await alice.owner.post("/v1/holds", json={"reason": "x", "run_id": run_id})).json()
    everything = {"tenant": True, "confirm": alice.tenant_id, "reason": "x"}
    for body in (asked, everything):
        assert (await alice.owner.post(ERASURES, json=body)).json()["code"] == "erasure_held"
    assert (await alice.owner.delete(f"/v1/holds/{hold['hold_id']}", params={"reason": "x"})).status_code == 204
    erased = await alice.owner.post(ERASURES, json=everything, headers={"Idempotency-Key": "once"})
    assert (erased.status_code, erased.json()["keys"]) == (201, 2), "the tenant's and the person's"
    again = await alice.owner.post(ERASURES, json=everything, headers={"Idempotency-Key": "once"})
    assert again.json() == erased.json()
    assert MARKER not in (await alice.owner.get(f"/v1/runs/{run_id}", headers=await up_to_now(alice))).text


async def test_what_workflows_stored_goes_with_their_tenant(served: Served, alice: Customer, bob: Customer) -> None:
    stores = served.core.objects
    assert stores is not None, "every process has them"
    places = [
        stores.of(each.tenant_id, WorkspaceId(await each.workspace_id()), EnvironmentId(await each.environment_id()))
        for each in (alice, bob)
    ]
    for place in places:
        await place.put("note.txt", MARKER.encode(), "text/plain", "tcl_1")
    everything = {"tenant": True, "confirm": alice.tenant_id, "reason": "they left"}
    assert (await alice.owner.post(ERASURES, json=everything)).status_code == 201
    assert [await place.look("note.txt") is not None for place in places] == [False, True]
