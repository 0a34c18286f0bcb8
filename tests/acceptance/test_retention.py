"""For how long things are kept, and legal holds, over the API and by those who may."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fairlead_ledger.reading import check_file
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger_check import check
from fairlead.consumers.retention_sweep import LOCK, RetentionSweep
from fairlead.domain.envelope import StreamRef
from tests.acceptance.test_ledger import exported, trust_of
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.clock import ManualClock
from tests.support.database import DatabaseUrls
from tests.support.workflows import LONG_S, at_work, echo, publish, started, until_status, up_to_now

EVER = {"from": "2000-01-01T00:00:00Z"}
RETENTION, HOLDS = "/v1/retention", "/v1/holds"


async def test_retention_is_set_under_the_version_that_was_seen(alice: Customer, bob: Customer) -> None:
    first = await alice.owner.get(RETENTION)
    assert (first.status_code, first.json()["version"], first.headers["ETag"]) == (200, 0, '"0"')
    assert first.json()["counting"]["runs_days"] == 365
    setting = {"runs_days": 30, "reason": "less is more"}
    put = await alice.owner.put(RETENTION, json=setting, headers={"If-Match": '"0"'})
    assert (put.status_code, put.json()["version"], put.json()["counting"]["runs_days"]) == (200, 1, 365), put.text
    assert (put.json()["settings"]["runs_days"], put.json()["changed_by"]) == (30, alice.owner_id)
    stale = await alice.owner.put(RETENTION, json=setting | {"runs_days": 90}, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    for wrong in ({"runs_days": 31}, {"ledger_years": 0}, {"ledger_years": 8}, {"reason": ""}):
        assert (await alice.owner.put(RETENTION, json=setting | wrong)).status_code == 422, wrong
    assert (await bob.owner.get(RETENTION)).json()["version"] == 0


async def test_a_hold_is_placed_listed_and_released_by_its_own_tenant_only(alice: Customer, bob: Customer) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a"), result={}))
    placed = await alice.owner.post(HOLDS, json={"run_id": run_id, "reason": "Doe against Doe"})
    assert placed.status_code == 201, placed.text
    hold = placed.json()
    assert (hold["run_id"], hold["placed_by"]) == (run_id, alice.owner_id)
    assert (await alice.owner.get(HOLDS)).json()["items"] == [hold]
    assert (await alice.owner.get(placed.headers["Location"])).json() == hold
    assert (await bob.owner.get(HOLDS)).json()["items"] == []
    assert (await bob.owner.post(HOLDS, json={"run_id": run_id, "reason": "mine?"})).status_code == 404
    assert (await bob.owner.delete(f"{HOLDS}/{hold['hold_id']}", params={"reason": "x"})).status_code == 404
    assert (await alice.owner.delete(f"{HOLDS}/{hold['hold_id']}")).status_code == 400, "a reason is asked for"
    assert (await alice.owner.delete(f"{HOLDS}/{hold['hold_id']}", params={"reason": "settled"})).status_code == 204
    assert (await alice.owner.get(placed.headers["Location"])).json()["code"] == "hold_not_found"


async def test_a_role_in_one_workspace_sets_nothing_for_the_whole_tenant(alice: Customer) -> None:
    workspace = WorkspaceId(await alice.workspace_id())
    _, text = await alice.person(Grant(role=Role.ADMIN, workspace_id=workspace))
    key = alice.as_key(text)
    for path in (RETENTION, HOLDS):
        assert (await key.get(path)).status_code == 403
    assert (await key.put(RETENTION, json={"runs_days": 30, "reason": "x"})).status_code == 403
    assert (await key.post(HOLDS, json={"reason": "x"})).status_code == 403


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


async def a_year_later(served: Served, customer: Customer) -> None:
    """What the tenant keeps no longer by then goes, and nothing of anybody else."""
    core, engine = served.core, served.core.settings.database_engine_url
    assert engine is not None
    clock = ManualClock(datetime.now(UTC) + timedelta(days=366))
    assert (await customer.owner.get(RETENTION, headers=await up_to_now(customer))).status_code == 200
    await customer.owner.get("/v1/ledger/head", headers=await up_to_now(customer))
    async with Database(engine) as database, database.session() as session:
        sweep = RetentionSweep(core.sealed_log, core.removal, database, core.handler, clock, core.ids, pause_s=0.0)
        await sweep.sweep_tenant(session, customer.tenant_id)


async def killed_in_the_middle(served: Served, customer: Customer, removals: int) -> None:
    """A process that sweeps dies by SIGKILL once it has taken so many commits off the log."""
    settings = served.core.settings
    urls = (settings.nats_url, settings.database_url, settings.database_engine_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.sweeper"),
        *(str(given) for given in (*urls, settings.data_dir, customer.tenant_id, removals)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"in the middle\n"
    finally:
        process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_a_sweeper_that_is_killed_in_the_middle_is_followed_by_one_that_ends_its_work(
    served: Served, alice: Customer, database: DatabaseUrls
) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a", "planted-here"), result={}))
    await until_status(alice, run_id, "completed")
    stream = StreamRef(alice.tenant_id, "run", run_id)
    before = {recorded.sequence for recorded in await served.core.log.read(stream)}
    await alice.owner.get("/v1/ledger/head", headers=await up_to_now(alice))
    await killed_in_the_middle(served, alice, 1)
    left = {sequence for sequence in before if await served.core.copies.copy_of(sequence) is not None}
    assert len(left) == len(before) - 1, "it died with some of it gone"
    async with Database(database.engine) as engine, engine.session() as session:
        async with asyncio.timeout(LONG_S):
            while not await session.try_lock(LOCK):  # noqa: ASYNC110  # the server notices that its client is gone
                await asyncio.sleep(0.02)
    await a_year_later(served, alice)
    for sequence in before:
        assert await served.core.copies.copy_of(sequence) is None
    assert (await alice.owner.get(f"/v1/runs/{run_id}")).status_code == 410
    rows = "SELECT count(*) FROM ledger_commits WHERE tenant_id = %s AND sequence = ANY (%s) AND body IS NOT NULL"
    open_ones = "SELECT count(*) FROM expiries WHERE tenant_id = %s AND removed_at IS NULL"
    with psycopg.connect(database.admin) as admin:
        assert admin.execute(rows, [alice.tenant_id, sorted(before)]).fetchall() == [(0,)]
        assert admin.execute(open_ones, [alice.tenant_id]).fetchall() == [(0,)]


async def test_a_run_that_expired_is_gone_for_its_tenant_and_its_proof_is_not(
    served: Served, alice: Customer, bob: Customer, database: DatabaseUrls, tmp_path: Path
) -> None:
    run_id = await started(alice.owner, await publish(alice, echo("a", "planted-here"), result={}))
    await until_status(alice, run_id, "completed")
    of_bob = await started(bob.owner, await publish(bob, echo("a"), result={}))
    (position, *_) = [row["position"] for row in (await alice.owner.get(f"/v1/runs/{run_id}/timeline")).json()["items"]]
    await a_year_later(served, alice)
    for path in ("", "/timeline", "/state", "/export", "/why", "/bundle", "/tool-calls", "/questions", "/events"):
        gone = await alice.owner.get(f"/v1/runs/{run_id}{path}")
        assert (gone.status_code, gone.json()["code"]) == (410, "run_content_expired"), path
        assert (await bob.owner.get(f"/v1/runs/{run_id}{path}")).status_code == 404, path
    late = await alice.owner.post(f"/v1/runs/{run_id}/cancel", json={"reason": "stop"})
    assert (late.status_code, late.json()["code"]) == (410, "run_content_expired")
    assert (await alice.owner.get("/v1/runs")).json()["items"] == []
    assert (await bob.owner.get(f"/v1/runs/{of_bob}")).status_code == 200
    trust = await trust_of(alice)
    for form in ("json", "ndjson", "csv"):
        file = await exported(alice, "/v1/exports/events", tmp_path, form, **EVER)
        report = check_file(file, trust)
        assert (report.findings, report.trusted) == ([], True)
        assert report.expired > 0
        text = file.read_bytes()
        assert b"content_expired" in text
        assert b"planted-here" not in text
        file.write_bytes(text.replace(b"sha256", b"sha257", 1))
        assert check_file(file, trust).findings
    proof = await alice.owner.get("/v1/ledger/proofs/inclusion", params={"position": position})
    assert proof.status_code == 200, proof.text
    await up_to_now(alice)
    async with Database(database.owner) as owner, owner.session() as session:
        faults = [fault async for fault in check(served.core.copies, session)]
    assert [fault for fault in faults if fault.kind != "ledger_behind" and fault.tenant_id == alice.tenant_id] == []
