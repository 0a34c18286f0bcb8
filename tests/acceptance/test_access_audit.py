"""Who looked at what: recorded before it is shown, for auditors of the tenant and for nobody else."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fairlead_tenants.access import Grant, Permission, Role

from fairlead.domain.envelope import Sequence as LogSequence
from tests.support.api import Customer
from tests.support.documents import ask
from tests.support.workflows import publish, started

LONG_AGO = (datetime.now(UTC) - timedelta(days=1)).isoformat()


async def accesses(customer: Customer, **params: str) -> list[dict[str, Any]]:
    """As of everything that was recorded until now."""
    seen = {"Fairlead-Position": str(await customer.served.core.log.last_sequence())}
    answer = await customer.owner.get("/v1/access", params={"limit": "200", **params}, headers=seen)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_who_read_searched_and_exported_is_recorded_before_the_answer(alice: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, ask("q")))
    reader_id, key = await alice.person(Grant(Role.AUDITOR))
    reader = alice.as_key(key)
    for path in (f"/v1/runs/{run_id}", f"/v1/runs/{run_id}/timeline?limit=5", f"/v1/runs/{run_id}/export", "/v1/runs"):
        assert (await reader.get(path)).status_code == 200
    found = await accesses(alice, principal_id=reader_id)
    assert [(each["access"], each["object"], each["query"]) for each in reversed(found)] == [
        ("read", f"/v1/runs/{run_id}", ""),
        ("read", f"/v1/runs/{run_id}/timeline", "limit=5"),
        ("export", f"/v1/runs/{run_id}/export", ""),
        ("search", "/v1/runs", ""),
    ]
    assert {(each["principal_kind"], each["key_id"] is not None) for each in found} == {("person", True)}
    of_run = await accesses(alice, object=f"/v1/runs/{run_id}", principal_id=reader_id)
    assert len(of_run) == 3
    assert len(await accesses(alice, access="export", principal_id=reader_id)) == 1


async def test_what_was_refused_shows_nothing_and_is_not_recorded(alice: Customer) -> None:
    before = await alice.served.core.log.last_sequence()
    assert (await alice.owner.get("/v1/runs/run_none")).status_code == 404
    assert (await alice.owner.get("/v1/workspaces")).status_code == 200
    async with alice.served.core.log.follow(LogSequence(before), ("access",), tenants=[alice.tenant_id]) as batches:
        assert await anext(aiter(batches)) == []


async def test_a_secret_in_a_question_is_not_recorded(alice: Customer) -> None:
    await alice.owner.get("/v1/runs", params={"label": "token:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    assert "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" not in json.dumps(await accesses(alice))


async def test_auditors_of_the_whole_tenant_see_it_and_are_recorded_themselves(alice: Customer, bob: Customer) -> None:
    await alice.owner.get("/v1/runs")
    auditor_id, key = await alice.person(Grant(Role.AUDITOR))
    assert (await alice.as_key(key).get("/v1/access")).status_code == 200
    assert (await accesses(alice, principal_id=auditor_id))[0]["object"] == "/v1/access"
    assert all(each["principal_id"] == bob.owner_id for each in await accesses(bob))
    workspace = (await alice.owner.post("/v1/workspaces", json={"name": "audited"})).json()["workspace_id"]
    _, narrow = await alice.person(Grant(Role.AUDITOR, workspace_id=workspace))
    assert (await alice.as_key(narrow).get("/v1/access")).status_code == 403
    _, developer = await alice.person(Grant(Role.DEVELOPER))
    refused = await alice.as_key(developer).get("/v1/access")
    assert (refused.status_code, refused.json()["missing"]) == (403, Permission.AUDIT_READ)


async def test_a_key_of_a_test_environment_sees_what_was_done_there(alice: Customer) -> None:
    await alice.owner.get("/v1/runs")
    tester_id, key = await alice.person(Grant(Role.AUDITOR), kind="test")
    tester = alice.as_key(key)
    await tester.get("/v1/runs")
    seen = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    found = (await tester.get("/v1/access", headers=seen)).json()["items"]
    assert {each["principal_id"] for each in found} == {tester_id}


async def test_accesses_are_exported_whole_as_lines_and_as_a_table(alice: Customer) -> None:
    for _ in range(3):
        await alice.owner.get("/v1/runs", params={"limit": "1"})
    shown = list(reversed(await accesses(alice)))[:3]
    seen = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    lines = await alice.owner.get("/v1/access/export", params={"from": LONG_AGO}, headers=seen)
    assert [json.loads(line) for line in lines.text.splitlines()][:3] == shown
    rest = await alice.owner.get("/v1/access/export", params={"from": LONG_AGO, "after": shown[0]["position"]})
    assert json.loads(rest.text.splitlines()[0]) == shown[1]
    table = await alice.owner.get("/v1/access/export", params={"from": LONG_AGO, "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert [row["position"] for row in rows[:3]] == [each["position"] for each in shown]
