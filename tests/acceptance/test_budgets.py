"""Budgets over the API: set under the version that was seen, topped up, and nobody else's."""

from typing import Any

from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from tests.support.api import Customer
from tests.support.workflows import at_work, echo, publish, started, until, until_status

BUDGETS = "/v1/budgets"
MONTHLY = {"scope": "tenant", "period": "month", "caps": {"usd_micros": 5_000_000}, "reason": "five dollars"}


async def test_a_budget_is_set_topped_up_and_removed_by_its_own_tenant_only(alice: Customer, bob: Customer) -> None:
    first = await alice.owner.put(f"{BUDGETS}/all", json=MONTHLY, headers={"If-None-Match": "*"})
    assert (first.status_code, first.json()["version"], first.headers["ETag"]) == (200, 1, '"1"'), first.text
    (account,) = first.json()["accounts"]
    assert (account["left_usd_micros"], account["left_tokens"], account["spent"]["calls"]) == (5_000_000, None, 0)
    stale = await alice.owner.put(f"{BUDGETS}/all", json=MONTHLY, headers={"If-None-Match": "*"})
    assert stale.status_code == 412
    more = {"amount": {"usd_micros": 7}, "reason": "a little more"}
    topped = await alice.owner.post(f"{BUDGETS}/all/top-ups", json=more)
    assert (topped.status_code, topped.json()["accounts"][0]["left_usd_micros"]) == (200, 5_000_007), topped.text
    assert (await alice.owner.get(BUDGETS)).json()["items"] == [topped.json()]
    assert (await bob.owner.get(BUDGETS)).json()["items"] == []
    assert (await bob.owner.get(f"{BUDGETS}/all")).status_code == 404
    assert (await bob.owner.post(f"{BUDGETS}/all/top-ups", json=more)).status_code == 404
    assert (await bob.owner.delete(f"{BUDGETS}/all", params={"reason": "x"})).status_code == 404
    removed = await alice.owner.delete(f"{BUDGETS}/all", params={"reason": "x"}, headers={"If-Match": '"1"'})
    assert removed.status_code == 204, removed.text
    assert (await alice.owner.get(f"{BUDGETS}/all")).json()["code"] == "budget_not_found"


async def test_calls_of_a_run_are_counted_and_the_one_past_the_cap_is_denied(alice: Customer, bob: Customer) -> None:
    one_call = {"scope": "run", "scope_id": "*", "caps": {"calls": 1}, "reason": "one is enough"}
    assert (await alice.owner.put(f"{BUDGETS}/each", json=one_call)).status_code == 200
    async with at_work(alice.served):
        run_id = await started(alice.owner, await publish(alice, echo("a"), echo("b"), result={}))
        free = await started(bob.owner, await publish(bob, echo("a"), echo("b"), result={}))
        calls = f"/v1/runs/{run_id}/tool-calls"
        found = await until(alice, calls, lambda page: "denied" in [call["status"] for call in page["items"]])
        shown = await until(alice, f"{BUDGETS}/each", lambda budget: _spent(budget) == {run_id: 1})
        await until_status(bob, free, "completed")
    assert sorted(call["status"] for call in found["items"]) == ["completed", "denied"]
    (account,) = shown["accounts"]
    assert (account["left_calls"], account["reserved"]["calls"]) == (0, 0)


def _spent(budget: Any) -> dict[str, int]:
    return {account["subject"]: account["spent"]["calls"] for account in budget["accounts"]}


async def test_what_no_budget_can_mean_is_refused_and_zones_are_real(alice: Customer) -> None:
    refused: tuple[dict[str, Any], ...] = (
        {"caps": {}},
        {"caps": {"usd_micros": -1}},
        {"scope": "run"},
        {"period": "year"},
        {"reason": ""},
    )
    for wrong in refused:
        assert (await alice.owner.put(f"{BUDGETS}/odd", json=MONTHLY | wrong)).status_code == 422, wrong
    assert (await alice.owner.put(f"{BUDGETS}/Odd", json=MONTHLY)).status_code == 422
    zone = {"zone": "Europe/Berlin", "reason": "where we are"}
    assert (await alice.owner.put("/v1/budget-zone", json=zone)).json() == {"zone": "Europe/Berlin"}
    assert (await alice.owner.get("/v1/budget-zone")).json() == {"zone": "Europe/Berlin"}
    assert (await alice.owner.put("/v1/budget-zone", json=zone | {"zone": "../etc/passwd"})).status_code == 422


async def test_a_role_in_one_workspace_sets_nothing_for_the_whole_tenant(alice: Customer) -> None:
    workspace = WorkspaceId(await alice.workspace_id())
    _, text = await alice.person(Grant(role=Role.ADMIN, workspace_id=workspace))
    key = alice.as_key(text)
    assert (await key.get(BUDGETS)).status_code == 403
    assert (await key.put(f"{BUDGETS}/all", json=MONTHLY)).status_code == 403
    assert (await key.put("/v1/budget-zone", json={"zone": "UTC", "reason": "x"})).status_code == 403
