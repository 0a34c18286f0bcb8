"""For how long things are kept, and legal holds, over the API and by those who may."""

from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from tests.support.api import Customer
from tests.support.workflows import echo, publish, started

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
