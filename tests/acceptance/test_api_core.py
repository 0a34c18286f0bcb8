"""What holds for every request, seen from outside."""

from fairlead_tenants.access import Grant, Role

from tests.support.api import Customer, Served


async def test_a_workspace_is_made_and_read_by_its_tenant_and_is_missing_for_another(
    alice: Customer, bob: Customer
) -> None:
    made = await alice.owner.post("/v1/workspaces", json={"name": "claims"})
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "claims"
    assert int(made.headers["Fairlead-Position"]) > 0
    assert (await alice.owner.get(made.headers["Location"])).json() == made.json()
    other = await bob.owner.get(made.headers["Location"])
    nothing = await bob.owner.get("/v1/workspaces/wsp_nothing")
    assert other.status_code == nothing.status_code == 404
    assert other.json()["code"] == nothing.json()["code"]


async def test_nobody_is_let_in_without_a_credential(served: Served) -> None:
    answer = await served.client().get("/v1/workspaces")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_signed_in"


async def test_a_missing_permission_is_named(alice: Customer) -> None:
    _, key = await alice.person(Grant(Role.AUDITOR))
    answer = await alice.as_key(key).post("/v1/workspaces", json={"name": "claims"})
    assert answer.status_code == 403
    assert answer.json()["missing"] == "workspace:manage"
