"""The ledger over the API: what is exported can be checked without us, and nobody sees another's."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from fairlead_ledger.canonical import canonical
from fairlead_ledger.checking import Report
from fairlead_ledger.heads import head_from, is_genuine
from fairlead_ledger.keys import Trust, read_keys
from fairlead_ledger.merkle import check_consistency, check_inclusion, leaf_hash
from fairlead_ledger.reading import SIDECAR, check_file
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.workflows import at_work, echo, publish, started, until_status, up_to_now

SOON_S = 15.0
_FAR = 10**9
_MOVE = "UPDATE projection_positions SET sequence = sequence + %(by)s WHERE name = 'ledger'"
_names = (f"moved{number}" for number in count(1))


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


@pytest.fixture
async def run_id(alice: Customer) -> str:
    run_id = await started(alice.owner, await publish(alice, echo("a", "=1+1"), echo("b", "Grüße 😀"), result={}))
    await until_status(alice, run_id, "completed")
    return run_id


async def trust_of(customer: Customer) -> Trust:
    keys = read_keys((await customer.owner.get("/v1/ledger/keys")).content)
    return Trust([bytes.fromhex(keys[0].public_key)], keys)


async def exported(customer: Customer, path: str, folder: Path, form: str, **params: Any) -> Path:
    file = folder / f"export.{form}"
    response = await customer.owner.get(path, params={"format": form, **params})
    assert response.status_code == 200, response.text
    file.write_bytes(response.content)
    if form == "csv":
        size = response.headers["Fairlead-Ledger-Size"]
        proof = await customer.owner.get(path, params={"format": "proof", "head": size, **params})
        file.with_name(file.name + SIDECAR).write_bytes(proof.content)
    return file


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
async def test_an_export_of_a_run_or_a_span_verifies_and_one_changed_byte_is_caught(
    alice: Customer, bob: Customer, run_id: str, form: str, tmp_path: Path
) -> None:
    trust = await trust_of(alice)
    for path, params in ((f"/v1/runs/{run_id}/export", {}), ("/v1/exports/events", {"from": "2000-01-01T00:00:00Z"})):
        file = await exported(alice, path, tmp_path, form, **params)
        report = check_file(file, trust)
        assert (report.findings, report.trusted) == ([], True)
        assert report.head is not None
        assert report.head.tenant_id == alice.tenant_id
        assert report.events > 5
        file.write_bytes(file.read_bytes().replace(b"=1+1", b"=1+2"))
        assert kinds(check_file(file, trust)) == {"changed"}
    assert (await bob.owner.get(f"/v1/runs/{run_id}/export")).status_code == 404


async def test_a_row_that_was_changed_in_the_read_model_does_not_verify_any_more(
    alice: Customer, served: Served, run_id: str, tmp_path: Path
) -> None:
    async with served.parts.database.tenant(alice.tenant_id) as tx:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await tx.run("UPDATE run_commits SET body = body")
    assert served.core.settings.database_engine_url is not None
    with psycopg.connect(served.core.settings.database_engine_url) as engine:
        engine.execute("SELECT set_config('app.tenant_id', %s, true)", [alice.tenant_id])
        engine.execute(
            """UPDATE run_commits SET body = replace(body, '"attempt":1', '"attempt":9') WHERE run_id = %s""", [run_id]
        )
    file = await exported(alice, f"/v1/runs/{run_id}/export", tmp_path, "ndjson")
    report = check_file(file, await trust_of(alice))
    changed = [json.loads(line)["position"] for line in file.read_text().splitlines() if '"attempt":9' in line]
    assert [(finding.kind, finding.where) for finding in report.findings] == [("changed", at) for at in changed]
    assert changed


async def test_heads_and_proofs_hold_and_a_receipt_binds_later_exports(
    alice: Customer, run_id: str, tmp_path: Path
) -> None:
    trust = await trust_of(alice)
    at = await up_to_now(alice)
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline", headers=at)).json()["items"]
    receipt = head_from((await alice.owner.post("/v1/ledger/heads", headers=at)).json())
    assert is_genuine(receipt, trust)
    assert head_from((await alice.owner.get("/v1/ledger/head")).json()).size >= receipt.size
    assert [head["size"] for head in (await alice.owner.get("/v1/ledger/heads?limit=1")).json()["items"]]
    proof = (await alice.owner.get(f"/v1/ledger/proofs/inclusion?position={timeline[3]['position']}")).json()
    head = head_from(proof["head"])
    path = [bytes.fromhex(node) for node in proof["path"]]
    check_inclusion(proof["index"], head.size, leaf_hash(canonical(proof["leaf"])), path, bytes.fromhex(head.root))
    second = await started(alice.owner, await publish(alice, echo("c", "more"), name="second", result={}))
    await until_status(alice, second, "completed")
    newer = head_from((await alice.owner.post("/v1/ledger/heads", headers=await up_to_now(alice))).json())
    sizes = {"from_size": receipt.size, "to_size": newer.size}
    leads = (await alice.owner.get("/v1/ledger/proofs/consistency", params=sizes)).json()
    roots = bytes.fromhex(receipt.root), bytes.fromhex(newer.root)
    check_consistency(receipt.size, newer.size, *roots, [bytes.fromhex(node) for node in leads["path"]])
    path_of_run = f"/v1/runs/{run_id}/export"
    file = await exported(alice, path_of_run, tmp_path, "ndjson", receipt=receipt.size)
    assert check_file(file, trust, receipt).findings == []
    file = await exported(alice, path_of_run, tmp_path, "ndjson", head=receipt.size)
    assert kinds(check_file(file, trust, newer)) == {"truncated"}
    too_large = {"from_size": newer.size + 100}
    assert (await alice.owner.get("/v1/ledger/proofs/consistency", params=too_large)).status_code == 422
    assert (await alice.owner.get("/v1/ledger/proofs/inclusion?position=999999999-0")).status_code == 404


async def test_each_tenant_sees_its_own_ledger_only_and_only_as_a_whole(
    alice: Customer, bob: Customer, run_id: str
) -> None:
    at = await up_to_now(alice)
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline", headers=at)).json()["items"]
    path = f"/v1/ledger/proofs/inclusion?position={timeline[0]['position']}"
    seen = [(await customer.owner.get(path, headers=at)).status_code for customer in (alice, bob)]
    assert seen == [200, 404]
    workspace = WorkspaceId(await alice.workspace_id())
    _, narrow = await alice.service_account(Grant(Role.AUDITOR, workspace))
    _, wide = await alice.service_account(Grant(Role.AUDITOR))
    for route in ("/v1/ledger/head", "/v1/ledger/heads", path):
        assert (await alice.as_key(narrow).get(route)).status_code == 403, route
    assert (await alice.as_key(wide).post("/v1/ledger/heads")).status_code == 403
    _, operator = await alice.service_account(Grant(Role.OPERATOR))
    assert (await alice.as_key(operator).post("/v1/ledger/heads")).status_code == 201


async def test_while_the_log_ends_before_what_was_kept_of_it_writes_are_refused_and_name_the_runbook(
    alice: Customer, served: Served, run_id: str
) -> None:
    def kept_further(commits: int) -> None:
        assert served.core.settings.database_engine_url is not None
        with psycopg.connect(served.core.settings.database_engine_url) as engine:
            engine.execute(_MOVE, {"by": commits})

    async def until_a_write_answers(status: int) -> httpx2.Response:
        async with asyncio.timeout(SOON_S):
            while True:
                answer = await alice.owner.post("/v1/workspaces", json={"name": next(_names)})
                if answer.status_code == status:
                    return answer
                await asyncio.sleep(0.05)

    await until_a_write_answers(201)
    await asyncio.to_thread(kept_further, _FAR)  # the ledger, in this very loop, may have the row
    try:
        refused = await until_a_write_answers(503)
        ends_at = await served.core.log.last_sequence()
        assert (refused.json()["code"], refused.headers["Retry-After"]) == ("log_taken_back", "30")
        assert "ledger-mismatch" in refused.json()["detail"]
        assert (await alice.owner.post("/v1/workspaces", json={"name": next(_names)})).status_code == 503
        assert (await alice.owner.get(f"/v1/runs/{run_id}")).status_code == 200
        assert await served.core.log.last_sequence() == ends_at
    finally:
        await asyncio.to_thread(kept_further, -_FAR)
    await until_a_write_answers(201)
