"""Every role at every endpoint, as the routes say: who lacks the permission is told which, the others get past."""

import re
from typing import Any

import pytest
from fairlead_tenants.access import CEILING_OF, LIVE_ONLY, PERMISSIONS_OF, ROLES_FOR, Grant, Permission, Role

from fairlead.api.application import route_options
from tests.support.api import Customer, Served

NOT_FOUND = "x_nothing"
BODY: dict[str, Any] = {"reason": "a test"}


def routes_of(served: Served) -> list[tuple[str, str, Permission]]:
    return [(path, method, opt["needs"]) for path, method, opt in route_options(served.api) if "needs" in opt]


def url_of(path: str) -> str:
    """Of nothing that exists."""
    return re.sub(r"\{[^}]+\}", NOT_FOUND, path.replace("{version}", "1"))


async def refused(served: Served, key: str, path: str, method: str) -> str | None:
    """The permission that the answer says is missing."""
    wrong_position = {"Fairlead-Position": "none"}  # refused after permissions and before anything is done
    answer = await served.client(key).request(method, url_of(path), json=BODY, headers=wrong_position)
    if answer.status_code == 403:
        said = answer.json()
        return str(said.get("error", said)["missing"])  # doors speak the wire of their clients
    assert answer.status_code == 422, f"{method} {path}: {answer.status_code} {answer.text}"
    return None


@pytest.mark.parametrize("role", sorted(ROLES_FOR["person"]))
async def test_a_person_gets_past_exactly_where_the_role_has_the_permission(
    served: Served, alice: Customer, role: Role
) -> None:
    _, key = await alice.person(Grant(role))
    for path, method, needed in routes_of(served):
        missing = None if needed in PERMISSIONS_OF[role] else needed
        assert await refused(served, key, path, method) == missing, f"{role} {method} {path}"


@pytest.mark.parametrize("role", sorted(ROLES_FOR["service_account"]))
async def test_a_service_account_never_gets_past_its_ceiling(served: Served, alice: Customer, role: Role) -> None:
    _, key = await alice.service_account(Grant(role))
    for path, method, needed in routes_of(served):
        holds = PERMISSIONS_OF[role] & CEILING_OF["service_account"]
        assert await refused(served, key, path, method) == (None if needed in holds else needed), f"{method} {path}"


async def test_who_holds_no_role_gets_past_nowhere(served: Served, alice: Customer) -> None:
    _, key = await alice.person()
    for path, method, needed in routes_of(served):
        assert await refused(served, key, path, method) == needed, f"{method} {path}"


async def test_the_scopes_of_a_key_narrow_what_its_owner_may(served: Served, alice: Customer) -> None:
    key = await alice.new_key(alice.owner_id, scopes=frozenset({Permission.RUN_READ}))
    for path, method, needed in routes_of(served):
        missing = None if needed is Permission.RUN_READ else needed
        assert await refused(served, key, path, method) == missing, f"{method} {path}"


async def test_a_key_of_a_test_environment_manages_nothing(served: Served, alice: Customer) -> None:
    key = await alice.new_key(alice.owner_id, kind="test")
    for path, method, needed in routes_of(served):
        assert await refused(served, key, path, method) == (needed if needed in LIVE_ONLY else None), f"{method} {path}"


async def test_nothing_of_a_tenant_is_had_without_a_credential(served: Served, alice: Customer) -> None:
    almost = alice.key[:-1] + ("y" if alice.key.endswith("x") else "x")
    for path, method, opt in route_options(served.api):
        if not opt.get("open"):
            answer = await served.client().request(method, url_of(path), json=BODY)
            assert answer.status_code == 401, f"{method} {path}"
            other = await served.client(almost).request(method, url_of(path), json=BODY)
            assert other.status_code == 401, f"{method} {path}"


async def test_a_permission_that_is_withdrawn_is_gone_with_the_next_request(alice: Customer) -> None:
    grant = Grant(Role.DEVELOPER)
    principal_id, key = await alice.person(grant)
    assert (await alice.as_key(key).get("/v1/workspaces")).status_code == 200
    withdrawal = f"/v1/principals/{principal_id}/grants/withdraw"
    assert (await alice.owner.post(withdrawal, json={"role": "developer"})).status_code == 200
    assert (await alice.as_key(key).get("/v1/workspaces")).status_code == 403


async def test_a_role_in_one_workspace_shows_that_workspace_only(alice: Customer) -> None:
    made = (await alice.owner.post("/v1/workspaces", json={"name": "claims"})).json()
    _, key = await alice.person(Grant(Role.ADMIN, workspace_id=made["workspace_id"]))
    narrow = alice.as_key(key)
    assert (await narrow.get("/v1/workspaces")).json()["items"] == [made]
    assert (await narrow.get(f"/v1/workspaces/{await alice.workspace_id()}")).status_code == 404
    assert (await narrow.get("/v1/principals")).status_code == 403
    refusal = await narrow.post("/v1/workspaces", json={"name": "more"})
    assert (refusal.status_code, refusal.json()["missing"]) == (403, "workspace:manage")
