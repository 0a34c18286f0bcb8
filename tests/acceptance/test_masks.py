"""What is sensitive is masked for every role on every way to read it; whoever may, and asks, sees it, on record."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fairlead_ledger.keys import Trust, read_keys
from fairlead_ledger.reading import check_file
from fairlead_tenants.access import CEILING_OF, PERMISSIONS_OF, Grant, Permission, Role
from msgspec import Struct

from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.flaky_http import FlakyServer
from tests.support.webhook_receiver import Receiver, sending, subscribed
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

SECRET = "DE89370400440532013000"
PLAIN = "ordinary-reference"
MASK = "[sensitive]"
INPUT = {
    "type": "object",
    "properties": {"iban": {"type": "string", "x-sensitive": True}, "note": {"type": "string"}},
}
STEPS = (
    echo("paid", "${'to ' + input.iban}"),
    {**echo("dead", "${input.long}"), "continue": True},
    {**echo("said", "${input.note}")},
    {"id": "asked", "ask": {"question": "${'Pay to ' + input.iban + '?'}", "schema": {"type": "string"}}},
    {"id": "told", "wait": {"signal": "go"}},
)
READS = {  # a path, and the permission it takes; R is the run, C the call, A the approval, L the letter, K the case
    "/v1/runs/R": Permission.RUN_READ,
    "/v1/runs/R/state": Permission.RUN_READ,
    "/v1/runs/R/timeline?limit=200": Permission.RUN_READ,
    "/v1/runs/R/tool-calls": Permission.RUN_READ,
    "/v1/runs/R/why": Permission.RUN_READ,
    "/v1/runs/R/events": Permission.RUN_READ,
    "/v1/runs/R/questions": Permission.RUN_READ,
    "/v1/runs/R/export": Permission.EXPORT_READ,
    "/v1/runs/R/export?format=csv": Permission.EXPORT_READ,
    "/v1/runs/R/export?format=ndjson": Permission.EXPORT_READ,
    "/v1/runs/R/bundle": Permission.EXPORT_READ,
    "/v1/tool-calls/C": Permission.RUN_READ,
    "/v1/tool-calls/C/why": Permission.RUN_READ,
    "/v1/dead-letters": Permission.RUN_READ,
    "/v1/dead-letters/L": Permission.RUN_READ,
    "/v1/exports/events?from=2000-01-01T00:00:00Z": Permission.EXPORT_READ,
    "/v1/cases/K/bundle": Permission.EXPORT_READ,
}
SAYS_NOTHING = {"/v1/runs/R/questions"}  # once the run is over
SAYS_MORE = {path for path in READS if path.startswith("/v1/runs/R") and "why" not in path}
ALWAYS_MASKED = {
    "/v1/runs": Permission.RUN_READ,
    "/v1/cases": Permission.CASE_READ,
    "/v1/approvals/A": Permission.APPROVAL_READ,
}


class Life(Struct, frozen=True):
    """A run in which everything there is has said it, of its customer."""

    who: Customer
    names: dict[str, str]
    webhook: list[Any]

    def path(self, path: str) -> str:
        for letter, name in self.names.items():
            path = "/".join(name if part.partition("?")[0] == letter else part for part in path.split("/"))
        return path


@pytest.fixture(scope="module")
async def life(served: Served) -> AsyncIterator[Life]:
    async with in_a_task_of_its_own(at_work(served)), FlakyServer.at() as server:
        who = await served.customer("masked")
        receiver = Receiver(server, "/in")
        await subscribed(who, receiver, "*")
        async with sending(served, server):
            names = await _lived(who)
            await receiver.until(lambda receiver: "case.reported.v1" in receiver.types())
        yield Life(who, names, receiver.taken)


async def _lived(who: Customer) -> dict[str, str]:
    result = {"to": "${input.iban}", "note": "${input.note}"}
    workflow = await publish(who, *STEPS, input=INPUT, result=result, **asking_people())
    run_id = await started(
        who.owner, workflow, input={"iban": SECRET, "note": PLAIN, "long": f"{PLAIN} {SECRET}" * 500}
    )
    _, key = await who.person(Grant(role=Role.REVIEWER), Grant(role=Role.OPERATOR))
    reviewer = who.as_key(key)
    first = ""
    for _ in range(2):
        approval = await the_approval(who, run_id)
        body = {"digest": approval["digest"], "comment": "fine" if first else f"fine for {SECRET}"}
        assert (await reviewer.post(f"/v1/approvals/{approval['approval_id']}/approve", json=body)).status_code == 200
        gone = approval["approval_id"]
        first = first or gone
        await until(who, f"/v1/runs/{run_id}", lambda run, gone=gone: gone not in str(run["awaited"]))  # type: ignore[misc]
    run = await until_status(who, run_id, "waiting_for_input")
    question = run["awaited"]["questions"][0]
    assert question["question"] == MASK
    answer = await reviewer.post(
        f"/v1/runs/{run_id}/questions/{question['question_id']}/answer", json={"answer": SECRET}
    )
    assert answer.status_code == 200, answer.text
    await until_status(who, run_id, "waiting_for_signal")
    signal = {"signal_id": "s1", "name": "go", "payload": {"who": SECRET, "iban": "another"}}
    assert (await who.owner.post(f"/v1/runs/{run_id}/signals", json=signal)).status_code == 200
    await until_status(who, run_id, "completed")
    report = {"label": "wrong_result", "comment": "wrong", "expected": {"iban": SECRET}}
    case = await who.owner.post(f"/v1/runs/{run_id}/reports", json=report)
    assert case.status_code == 201, case.text
    calls = (await who.owner.get(f"/v1/runs/{run_id}/tool-calls")).json()["items"]
    dead = next(each["call_id"] for each in calls if each["step"] == "dead")
    return {"R": run_id, "C": calls[0]["call_id"], "L": dead, "A": first, "K": case.json()["case_id"]}


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.AGENT}))
async def test_each_role_is_shown_masks_and_what_is_sensitive_only_where_it_may_and_asks(
    life: Life, role: Role
) -> None:
    _, key = await life.who.person(Grant(role=role))
    await _matrix(life, key, PERMISSIONS_OF[role])


async def test_a_program_is_never_shown_what_is_sensitive(life: Life) -> None:
    _, key = await life.who.service_account(Grant(role=Role.ADMIN))
    await _matrix(life, key, PERMISSIONS_OF[Role.ADMIN] & CEILING_OF["service_account"])


async def _matrix(life: Life, key: str, held: frozenset[Permission]) -> None:
    client, at = life.who.as_key(key), await up_to_now(life.who)
    for path, needed in {**READS, **ALWAYS_MASKED}.items():
        shown = await client.get(life.path(path), headers=at)
        assert shown.status_code == (200 if needed in held else 403), (path, shown.text)
        at_secret = shown.text.find(SECRET)
        assert at_secret < 0, (path, shown.text[max(0, at_secret - 800) : at_secret])
        if needed in held and path in READS and path not in SAYS_NOTHING:
            assert PLAIN in shown.text or path not in SAYS_MORE, path
            assert MASK in shown.text or "$masked" in shown.text, path
    for path, needed in READS.items():
        asked = f"{life.path(path)}{'&' if '?' in path else '?'}unmasked=true"
        shown = await client.get(asked, headers=at)
        sees = {needed, Permission.CONTENT_UNMASK} <= held
        assert shown.status_code == (200 if sees else 403), (path, shown.text)
        assert (SECRET in shown.text) == (sees and path not in SAYS_NOTHING), path


async def test_it_is_on_record_who_looked_and_who_did_not(life: Life) -> None:
    who_id, key = await life.who.person(Grant(role=Role.OWNER))
    client, run = life.who.as_key(key), life.path("/v1/runs/R")
    for query in ("", "?unmasked=true", "?unmasked=false"):
        assert (await client.get(f"{run}{query}")).status_code == 200
    assert (await client.get(f"{run}/export?unmasked=true")).status_code == 200
    found = await life.who.owner.get("/v1/access", params={"principal_id": who_id}, headers=await up_to_now(life.who))
    assert [(each["access"], each["object"]) for each in reversed(found.json()["items"])] == [
        ("read", run),
        ("unmasked", run),
        ("read", run),
        ("unmasked", f"{run}/export"),
    ]


async def test_a_masked_export_is_proved_whole_and_nothing_in_it_can_be_changed(life: Life, tmp_path: Path) -> None:
    keys = read_keys((await life.who.owner.get("/v1/ledger/keys")).content)
    trust = Trust([bytes.fromhex(keys[0].public_key)], keys)
    file = tmp_path / "run.json"

    def problems(text: str) -> int:
        file.write_text(text)
        return len(check_file(file, trust).findings)

    exported = (await life.who.owner.get(life.path("/v1/runs/R/export"), headers=await up_to_now(life.who))).text
    assert problems(exported) == 0
    masked = json.loads(exported)
    event = next(each for each in masked["events"] if "$masked" in str(each["data"].get("input")))
    event["data"]["input"]["iban"] = "DE00"
    assert problems(json.dumps(masked)) > 0


async def test_nothing_sensitive_leaves_by_webhook(life: Life) -> None:
    said = json.dumps(life.webhook)
    assert SECRET not in said
    assert PLAIN in said
    assert MASK in said


async def test_another_tenant_is_shown_nothing_either_way(life: Life, bob: Customer) -> None:
    for path in [*READS, *ALWAYS_MASKED]:
        for query in ("", f"{'&' if '?' in path else '?'}unmasked=true"):
            answer = await bob.owner.get(life.path(path) + (query if path in READS else ""))
            assert SECRET not in answer.text
            assert PLAIN not in answer.text
