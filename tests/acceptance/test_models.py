"""Runs that ask models over HTTP: a provider over a real socket, its key in the vault, its price the tenant's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fairlead_tenants.access import Grant, Role

from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.flaky_http import FlakyServer
from tests.support.model_customers import KEY, PROVIDER, equipped
from tests.support.model_upstream import HELLO, ModelUpstream
from tests.support.trace_receiver import Receiver, has_run, of
from tests.support.workflows import asking_people, at_work, echo, publish, started, the_approval, until_status

MARKER, TRACE = "Marker 4711 of somebody", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MAIN, SPARE = ({"provider": PROVIDER, "model": "m-1", "connection": name} for name in ("main", "spare"))


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[ModelUpstream]:
    async with in_a_task_of_its_own(ModelUpstream.at()) as server:
        yield server


@pytest.fixture(scope="module")
async def spare() -> AsyncIterator[ModelUpstream]:
    async with in_a_task_of_its_own(ModelUpstream.at()) as server:
        yield server


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with in_a_task_of_its_own(FlakyServer.at()) as server:
        yield Receiver(server)


@pytest.fixture(scope="module")
async def served(
    nats_url: str, database_template: DatabaseUrls, upstream: ModelUpstream, spare: ModelUpstream, receiver: Receiver
) -> AsyncIterator[Served]:
    settings = {
        "outbound_private_networks": ("127.0.0.1/32",),
        "outbound_plain_http": (upstream.server.authority, spare.server.authority, receiver.server.authority),
        "telemetry_url": receiver.url,
        "telemetry_headers": "authorization=Bearer of-the-collector",
        "telemetry_share_percent": 100,
    }
    async with (
        cloned_database(database_template) as database,
        in_a_task_of_its_own(served_api(nats_url, database, settings)) as served,
        in_a_task_of_its_own(at_work(served)),
    ):
        yield served


def asking(*use: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "ask", "model": {"use": list(use), "prompt": "Say good morning.", "max_output_tokens": 50, **fields}}


RESULT: dict[str, Any] = {"result": {"said": "${steps.ask.output.text}"}, "output": {}, "tools": []}


async def test_a_run_asks_a_model_over_http_and_falls_back_when_the_first_is_out(
    alice: Customer, bob: Customer, upstream: ModelUpstream, spare: ModelUpstream
) -> None:
    await equipped(alice, main=upstream, spare=spare)
    workflow = await publish(alice, asking(MAIN, SPARE), name="morning", **RESULT)
    run = await started(alice.owner, workflow)
    first = await until_status(alice, run, "completed")
    assert first["output"] == {"said": HELLO}
    assert (first["model_calls"], first["tokens"], first["cost_usd_micros"]) == (1, 18, 7)
    assert upstream.server.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    upstream.mood = "broken"
    run = await started(alice.owner, workflow)
    second = await until_status(alice, run, "completed")
    assert (second["output"], spare.asked[-1]["model"]) == ({"said": HELLO}, "m-1")
    timeline = (await alice.owner.get(f"/v1/runs/{run}/timeline", params={"type": "model_call."})).json()["items"]
    assert [event["type"].split(".")[1] for event in timeline] == [
        *("requested", "routed", "attempt_failed"),
        *("routed", "completed"),
    ]
    assert timeline[3]["data"]["connection"] == "spare"
    assert KEY not in str(timeline)
    assert (await bob.owner.get(f"/v1/runs/{run}/timeline")).status_code == 404
    why = await alice.owner.get(f"/v1/runs/{run}/model-calls/{timeline[0]['data']['call_id']}/why")
    assert [each["part"] for each in why.json()["because"]].count("rule") == 2, why.text
    assert (await bob.owner.get(f"/v1/runs/{run}/model-calls/{timeline[0]['data']['call_id']}/why")).status_code == 404


async def test_a_run_with_a_model_and_a_signature_is_one_trace_with_nothing_of_what_was_said(
    alice: Customer, upstream: ModelUpstream, receiver: Receiver
) -> None:
    await equipped(alice, main=upstream)
    upstream.mood = "well"
    steps = (asking(MAIN), echo("a", MARKER))
    workflow = await publish(alice, *steps, name="traced", result={}, output={}, **asking_people())
    body = {"workflow_id": workflow, "input": {}}
    began = await alice.owner.post("/v1/runs", json=body, headers={"traceparent": TRACE})
    assert began.status_code == 202, began.text
    approval = await the_approval(alice, run := began.json()["run_id"])
    ann = alice.as_key((await alice.person(Grant(Role.REVIEWER)))[1])
    yes = {"digest": approval["digest"], "comment": MARKER}
    signed = await ann.post(f"/v1/approvals/{approval['approval_id']}/approve", json=yes)
    assert signed.status_code == 200, signed.text
    await until_status(alice, run, "completed")
    await receiver.until(has_run(run))
    spans = {span.name: span for span in receiver.spans if of(span) == run}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE.split("-")[1]}
    parents = {span.span_id: name for name, span in spans.items()}
    assert {name: parents.get(span.parent_span_id, "") for name, span in spans.items()} == {
        "start_run": "",
        "invoke_workflow traced": "start_run",
        "model_call": "invoke_workflow traced",
        "chat m-1": "model_call",
        "execute_tool basics.echo": "invoke_workflow traced",
        "approval": "execute_tool basics.echo",
        "attempt": "execute_tool basics.echo",
    }
    asked = began.headers["traceresponse"].split("-")[2]
    assert spans["start_run"].span_id.hex() == asked
    (link,) = spans["approval"].links
    assert link.trace_id.hex() == signed.headers["traceresponse"].split("-")[1]
    usage = {each.key: each.value.int_value for each in spans["chat m-1"].attributes}
    assert usage["gen_ai.usage.input_tokens"] + usage["gen_ai.usage.output_tokens"] == 18
    sent = b"".join(span.SerializeToString() for span in spans.values())
    assert not [word for word in (MARKER, HELLO, KEY, "Say good morning") if word.encode() in sent]


async def test_a_run_that_could_pass_its_cap_is_ended_with_its_own_code_and_nothing_is_sent(
    alice: Customer, upstream: ModelUpstream
) -> None:
    await equipped(alice, main=upstream)
    upstream.mood = "well"
    before = len(upstream.asked)
    limits = {"limits": {"cost_usd_micros": 49}}
    run = await started(alice.owner, await publish(alice, asking(MAIN), name="poor", **RESULT, **limits))
    capped = await until_status(alice, run, "capped")
    assert (capped["reason_code"], capped["cost_usd_micros"]) == ("limit_cost_usd_micros", 0)
    cap = {"scope": "tenant", "caps": {"usd_micros": 49}, "reason": "no more"}
    assert (await alice.owner.put("/v1/budgets/all", json=cap)).status_code == 200
    run = await started(alice.owner, await publish(alice, asking(MAIN), name="capped", **RESULT))
    failed = await until_status(alice, run, "failed")
    assert failed["reason_code"] == "budget_tenant_usd_micros"
    assert len(upstream.asked) == before
