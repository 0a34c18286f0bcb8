"""Switches over the API and from a shell: at once and everywhere, by those who may, for their own tenant only."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Permission, Role

from fairlead import app, stopping
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_switches import NatsSwitches
from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.runs.events import RunPaused
from fairlead.domain.switches import board as b
from fairlead.drilling import Drill, IsStopped, drill
from fairlead.handling.switching import Switching
from tests.support.api import Customer, Served, in_a_task_of_its_own, running
from tests.support.database import DatabaseUrls
from tests.support.workflows import at_work, echo, publish, started, until_status

SWITCHES = "/v1/switches"
WHY: dict[str, Any] = {"reason": "a hole"}
EFFECTIVE_WITHIN_MS = 1_000


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


def operator(served: Served) -> stopping.Operator:
    return stopping.Operator(served.core.log, served.core.switching)


async def test_a_switch_is_set_shown_replaced_and_released(alice: Customer) -> None:
    path = f"{SWITCHES}/connector:github"
    put = await alice.owner.put(path, json=WHY | {"modes": ["deny_writes"]})
    assert put.status_code == 200, put.text
    shown = put.json()
    assert (shown["target"], shown["modes"], shown["held_by"]) == ("connector:github", ["deny_writes"], "tenant")
    assert shown["set_by"] == alice.owner_id
    assert (await alice.owner.get(path)).json() == shown
    assert (await alice.owner.put(path, json=WHY | {"modes": ["deny_writes"]})).json() == shown, "no news"
    replaced = (await alice.owner.put(path, json=WHY | {"modes": ["deny_all", "stop_starts"]})).json()
    assert (await alice.owner.get(SWITCHES)).json()["items"] == [replaced]
    assert (await alice.owner.delete(path)).status_code == 204
    assert (await alice.owner.get(SWITCHES)).json()["items"] == []
    assert (await alice.owner.delete(path)).json()["code"] == "switch_not_found"


async def test_safe_mode_denies_the_next_call_and_new_runs_are_refused_with_a_problem_of_their_own(
    alice: Customer,
) -> None:
    workflow = await publish(alice, echo("a"), result={})
    run_id = await started(alice.owner, workflow)
    await until_status(alice, run_id, "completed")
    for target in (f"workflow:{workflow}", "tenant", f"environment:{await alice.environment_id()}"):
        assert (await alice.owner.put(f"{SWITCHES}/{target}", json=WHY | {"modes": ["stop_starts"]})).status_code == 200
        refused = await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {}})
        assert (refused.status_code, refused.json()["code"]) == (409, "starts_stopped")
        assert "a hole" in refused.json()["detail"]
        assert (await alice.owner.delete(f"{SWITCHES}/{target}")).status_code == 204
    await alice.owner.put(f"{SWITCHES}/tool:basics.echo", json=WHY | {"modes": ["deny_writes"]})
    await until_status(alice, await started(alice.owner, workflow), "completed")
    await alice.owner.delete(f"{SWITCHES}/tool:basics.echo")


async def test_who_may_not_stop_does_not_and_sees_it(alice: Customer) -> None:
    body, path = WHY | {"modes": ["deny_all"]}, f"{SWITCHES}/connector:basics"
    _, developer = await alice.person(Grant(Role.DEVELOPER))
    refused = await alice.as_key(developer).put(path, json=body)
    assert (refused.status_code, refused.json()["missing"]) == (403, "switch:set")
    workspace, live = await alice.workspace_id(), await alice.environment_id()
    _, local = await alice.person(Grant(Role.OPERATOR, workspace_id=workspace))  # type: ignore[arg-type]  # an id
    for target, status in ((f"workspace:{workspace}", 200), (f"environment:{live}", 404), ("tenant", 403)):
        assert (await alice.as_key(local).put(f"{SWITCHES}/{target}", json=body)).status_code == status, target
    assert (await alice.as_key(local).delete(f"{SWITCHES}/workspace:{workspace}")).status_code == 204
    test = await alice.new_key(alice.owner_id, kind="test", scopes=frozenset(Permission))
    assert (await alice.as_key(test).put(f"{SWITCHES}/tenant", json=body)).status_code == 403
    own = f"{SWITCHES}/environment:{await alice.environment_id('test')}"
    assert (await alice.as_key(test).put(own, json=body)).status_code == 200
    assert (await alice.as_key(test).delete(own)).status_code == 204


async def test_another_tenant_neither_stops_nor_sees_anything_of_ours(alice: Customer, bob: Customer) -> None:
    body, workflow = WHY | {"modes": ["deny_all"]}, await publish(alice, echo("a"), result={})
    await alice.owner.put(f"{SWITCHES}/connector:basics", json=body | {"modes": ["stop_starts"]})
    assert (await bob.owner.get(SWITCHES)).json()["items"] == []
    for target in (f"tenant:{alice.tenant_id}", f"workflow:{workflow}", f"environment:{await alice.environment_id()}x"):
        assert (await bob.owner.put(f"{SWITCHES}/{target}", json=body)).status_code == 404, target
    refused = await bob.owner.put(f"{SWITCHES}/installation", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "switch_of_installation")
    assert (await bob.owner.put(f"{SWITCHES}/connector:basics", json=body)).status_code == 200
    await alice.owner.delete(f"{SWITCHES}/connector:basics")
    await until_status(alice, await started(alice.owner, workflow), "completed")


async def test_the_installations_switch_is_shown_to_those_it_stops_and_is_not_theirs_to_release(
    served: Served, alice: Customer, bob: Customer
) -> None:
    target = b.Target("tenant", alice.tenant_id)
    await operator(served).set(target, ["deny_all"], "under investigation")
    (shown,) = (await alice.owner.get(SWITCHES)).json()["items"]
    assert (shown["held_by"], shown["reason"], shown["set_by"]) == ("installation", "under investigation", None)
    assert (await bob.owner.get(SWITCHES)).json()["items"] == []
    assert (await alice.owner.delete(f"{SWITCHES}/tenant")).status_code == 404
    with pytest.raises(b.NotYourSwitch):
        await operator(served).set(b.Target("workflow", "wfl_1"), ["deny_all"], "not ours")
    await operator(served).release(target, "over")


async def test_a_switch_with_an_end_is_released_by_itself_and_what_it_paused_goes_on(alice: Customer) -> None:
    workflow = await publish(alice, {"id": "pause", "wait": {"seconds": 1}}, echo("a"), result={})
    run_id = await started(alice.owner, workflow)
    body = WHY | {"modes": ["pause_runs"]}
    assert (await alice.owner.put(f"{SWITCHES}/tenant", json=body)).status_code == 200
    paused = await until_status(alice, run_id, "paused")
    assert paused["paused_reason"] == "a hole"
    ends = alice.served.core.clock.now() + timedelta(seconds=0.5)
    assert (
        await alice.owner.put(f"{SWITCHES}/tenant", json=body | {"expires_at": ends.isoformat()})
    ).status_code == 200
    await until_status(alice, run_id, "completed")
    assert (await alice.owner.get(SWITCHES)).json()["items"] == []


async def test_under_load_two_workers_stop_within_a_second_and_everything_goes_on_afterwards(
    served: Served, alice: Customer, nats_url: str, database_template: DatabaseUrls
) -> None:
    """Each has its own connection and its own sight of the switches. The drill measures from what is on the log."""
    workflow, runs = await publish(alice, *(echo(f"s{number}") for number in range(12)), name="long", result={}), []

    async def load() -> None:
        """One run after the other, until no more are taken."""
        while (answer := await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {}})).is_success:
            runs.append(answer.json()["run_id"])
        assert answer.json()["code"] == "starts_stopped"

    async with app.core(served.core.settings, {}, "second") as second, running(app.worker(second)):
        loading = asyncio.gather(load(), load())
        everything = Drill(target=b.Target("installation"), modes=("pause_runs",), load_s=2.0, quiet_s=0.3)
        drilled = await drill(operator(served), everything)
        await loading
        assert (drilled.calls_before > 0, drilled.last_effect_ms < EFFECTIVE_WITHIN_MS) == (True, True), drilled
        assert any([await _was_paused(served, alice, run_id) for run_id in runs]), "there was a load to stop"
        for run_id in runs:
            await until_status(alice, run_id, "completed")
    board = (await served.core.handler.load(b.stream_of(INSTALLATION))).state
    assert board.on == {}
    (shown,) = (await alice.owner.get(f"{SWITCHES}/drills")).json()["items"]
    assert (shown["target"], shown["held_by"], shown["calls_before"]) == ("installation", "installation", None)
    assert shown["last_effect_ms"] == drilled.last_effect_ms


async def test_a_tenants_own_scopes_are_drilled_with_the_tenants_own_switch(
    served: Served, alice: Customer, bob: Customer
) -> None:
    workflow = await publish(alice, *(echo(f"s{number}") for number in range(12)), name="drilled", result={})
    theirs = await publish(bob, echo("a"), name="theirs", result={})
    holder = stopping.Operator(served.core.log, served.core.switching, alice.tenant_id)
    target = b.Target("workflow", workflow)
    calls = Drill(target=target, modes=("pause_runs",), load_s=2.0, quiet_s=0.3, holder=alice.tenant_id)

    async def load() -> None:
        while (await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {}})).is_success:
            assert (await bob.owner.post("/v1/runs", json={"workflow_id": theirs, "input": {}})).is_success

    loading = asyncio.gather(load(), load())
    drilled = await drill(holder, calls)
    await loading
    assert (drilled.calls_before > 0, drilled.last_effect_ms < EFFECTIVE_WITHIN_MS) == (True, True), drilled
    (shown, *_) = (await alice.owner.get(f"{SWITCHES}/drills")).json()["items"]
    assert (shown["target"], shown["held_by"], shown["calls_before"]) == (target.id, "tenant", drilled.calls_before)
    assert target.id not in [each["target"] for each in (await bob.owner.get(f"{SWITCHES}/drills")).json()["items"]]
    body = WHY | {"modes": ["deny_writes"]}
    assert (await alice.owner.put(f"{SWITCHES}/{target.id}", json=body)).status_code == 200
    with pytest.raises(IsStopped):
        await drill(holder, calls)
    assert (await alice.owner.get(f"{SWITCHES}/{target.id}")).json()["modes"] == ["deny_writes"]


async def _was_paused(served: Served, customer: Customer, run_id: str) -> bool:
    history = await served.core.log.read(StreamRef(customer.tenant_id, "run", run_id))
    return any(isinstance(event, RunPaused) for recorded in history for event in recorded.commit.events)


async def test_whoever_dies_between_the_fact_and_the_showing_is_stood_in_for(served: Served, alice: Customer) -> None:
    """The engine's consumer shows what is on the log."""

    class Dies(NatsSwitches):
        async def keep(self, *_: object) -> None:
            raise Unavailable("the process")

    connection = await NatsConnection.open(served.core.settings.nats_url or "")
    try:
        dying = Switching(served.core.log, served.core.handler, Dies(connection))
        with pytest.raises(Unavailable):
            await stopping.Operator(served.core.log, dying).set(b.Target("tool", "x.y"), ["deny_all"], "a hole")
        async with asyncio.timeout(10):
            while "tool:x.y" not in (served.core.switches.known() or {}).get(INSTALLATION, b.Board()).on:
                await served.core.switches.changed(1.0)
    finally:
        await connection.close()
        await operator(served).release(b.Target("tool", "x.y"), "over")


async def test_a_bucket_that_is_deleted_is_made_again_from_the_log_and_the_switch_still_holds(
    served: Served, alice: Customer
) -> None:
    workflow = await publish(alice, echo("a"), result={})
    await alice.owner.put(f"{SWITCHES}/tool:basics.echo", json=WHY | {"modes": ["deny_all"]})
    await alice.owner.put(f"{SWITCHES}/connector:other", json=WHY | {"modes": ["deny_all"]})
    connection = await NatsConnection.open(served.core.settings.nats_url or "")
    try:
        await connection.api("STREAM.DELETE.KV_SWITCHES")
    finally:
        await connection.close()
    async with asyncio.timeout(15):
        while served.core.switches.known() is not None:
            await served.core.switches.changed(0.05)
        while served.core.switches.known() is None:
            await served.core.switches.changed(0.05)
    denied = await until_status(alice, await started(alice.owner, workflow), "failed")
    assert denied["reason_code"] == "denied_by_switch"
    await alice.owner.delete(f"{SWITCHES}/tool:basics.echo")
    await until_status(alice, await started(alice.owner, workflow), "completed")


async def test_while_it_cannot_be_known_what_is_switched_off_no_run_begins(
    served: Served, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await publish(alice, echo("a"), result={})
    monkeypatch.setattr(served.core.switches, "known", lambda: None)
    refused = await alice.owner.post("/v1/runs", json={"workflow_id": workflow, "input": {}})
    assert (refused.status_code, refused.json()["code"], "retry-after" in refused.headers) == (
        503,
        "switches_unknown",
        True,
    )
    assert "fairlead_switches_known 0.0" in (await alice.served.client().get("/metrics")).text
