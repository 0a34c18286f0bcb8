"""Reports of money over the API: they agree with the log, show nobody else's, and come as files."""

import csv
import io
from datetime import timedelta
from typing import Any

from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs import events as e
from tests.support.api import Customer
from tests.support.clock import T0
from tests.support.histories import Writer, a_run, completed, dispatched, requested, started
from tests.support.spending import answered, asked, spent_in
from tests.support.workflows import up_to_now

REPORTS = "/v1/reports"
DAY: dict[str, Any] = {"from": T0.isoformat(), "to": (T0 + timedelta(days=1)).isoformat()}


async def spend(customer: Customer, number: int, cost: int) -> StreamRef:
    """A run of theirs on the log that asked a model, paid a tool and completed."""
    run = a_run(customer.tenant_id, number)
    began = replace(started(run), environment_id=await customer.environment_id())
    paid = replace(completed(run, 1), cost_usd_micros=7)
    writer = Writer(customer.served.core.log, number=7_000 + 10 * number)
    await writer.append(run, began, asked(run, 1), requested(run, 1), *dispatched(run, 1))
    await writer.append(run, answered(run, 1, cost), paid, e.RunCompleted(output={}))
    return run


async def test_reports_agree_with_the_log_and_show_nobody_elses(alice: Customer, bob: Customer) -> None:
    runs = [await spend(alice, number, 1_000 + number) for number in (1, 2)]
    other = await spend(bob, 3, 55)
    log = alice.served.core.log
    truth = sum([spent_in([fact for each in await log.read(run) for fact in each.commit.events]) for run in runs])
    prices = {
        "fairlead_prices": 1,
        "outcomes": [{"workflow": "pay", "valid_from": "2026-01-01T00:00:00Z", "usd_micros": 1_000}],
    }
    assert (await alice.owner.put("/v1/prices", json=prices, params={"reason": "x"})).status_code == 201
    now = await up_to_now(alice)
    for by in ("tenant", "run", "day", "route"):
        found = await alice.owner.get(f"{REPORTS}/costs", params=DAY | {"by": by}, headers=now)
        assert sum(row["cost_usd_micros"] for row in found.json()["items"]) == truth, found.text
    (row,) = (await alice.owner.get(f"{REPORTS}/success-costs", params=DAY, headers=now)).json()["items"]
    assert (row["successful_runs"], row["cost_usd_micros"]) == (2, truth)
    (left,) = (await alice.owner.get(f"{REPORTS}/margins", params=DAY, headers=now)).json()["items"]
    assert (left["revenue_usd_micros"], left["margin_usd_micros"], left["is_negative"]) == (2_000, 2_000 - truth, True)
    text = await alice.owner.get(f"{REPORTS}/costs/export", params=DAY | {"by": "run", "format": "csv"}, headers=now)
    lines = list(csv.DictReader(io.StringIO(text.text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))))
    assert {line["key"]: int(line["cost_usd_micros"]) for line in lines} == {runs[0].id: 1_008, runs[1].id: 1_009}
    first = await alice.owner.get(f"{REPORTS}/costs", params=DAY | {"by": "run", "limit": 1}, headers=now)
    second = {"by": "run", "limit": 1, "cursor": first.json()["next_cursor"]}
    assert [
        each["key"] for each in (await alice.owner.get(f"{REPORTS}/costs", params=DAY | second)).json()["items"]
    ] == [runs[1].id]
    hers = await bob.owner.get(f"{REPORTS}/costs", params=DAY | {"by": "run"}, headers=now)
    assert [each["key"] for each in hers.json()["items"]] == [other.id]
    stolen = await bob.owner.get(f"{REPORTS}/costs", params=DAY | {"by": "call", "run_id": runs[0].id}, headers=now)
    assert stolen.json()["items"] == []


async def test_whoever_sees_a_workspace_sees_its_costs_and_no_margins(alice: Customer) -> None:
    await spend(alice, 4, 900)
    now = await up_to_now(alice)
    await alice.owner.get(f"{REPORTS}/costs", params=DAY, headers=now)
    metered = (await alice.served.client().get("/metrics")).text
    assert 'fairlead_model_cost_usd_micros_total{provider="anthropic",route="triage"}' in metered
    assert alice.tenant_id not in metered
    _, text = await alice.person(Grant(role=Role.OPERATOR, workspace_id=WorkspaceId(await alice.workspace_id())))
    key = alice.as_key(text)
    elsewhere = await key.get(f"{REPORTS}/costs", params=DAY | {"by": "tenant"}, headers=now)
    assert (elsewhere.status_code, elsewhere.json()["items"]) == (200, []), elsewhere.text
    assert (await key.get(f"{REPORTS}/margins", params=DAY)).status_code == 403
    assert (await key.get(f"{REPORTS}/margins/export", params=DAY)).status_code == 403
    for wrong in ({"by": "colour"}, {"from": DAY["to"], "to": DAY["from"]}, {"from": "2020-01-01T00:00:00Z"}):
        assert (await alice.owner.get(f"{REPORTS}/costs", params=wrong)).status_code in (400, 422), wrong
