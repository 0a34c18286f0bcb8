"""People, programs and keys of a tenant, managed over the API by those who may."""

from fairlead_tenants.access import Grant, Role

from tests.support.api import Customer

WHY = {"reason": "a test"}


async def test_a_program_is_given_a_role_and_a_key_and_loses_both(alice: Customer, bob: Customer) -> None:
    owner = alice.owner
    account = (await owner.post("/v1/service-accounts", json={"name": "intake"})).json()
    path = f"/v1/principals/{account['principal_id']}"
    granted = await owner.post(f"{path}/grants", json={"role": "developer"})
    assert granted.json()["grants"] == [{"role": "developer", "workspace_id": None, "environment_id": None}]
    environment_id = await alice.environment_id("test")
    wanted = {"name": "k", "principal_id": account["principal_id"], "environment_id": environment_id}
    issued = (await owner.post("/v1/keys", json=wanted | {"scopes": ["workspace:read"]})).json()
    assert issued["secret"].startswith("flk_test_")
    program = alice.as_key(issued["secret"])
    assert (await program.get("/v1/me")).json()["permissions"] == ["workspace:read"]
    assert (await program.get("/v1/workspaces")).status_code == 200

    for stranger in (path, f"/v1/keys/{issued['key_id']}"):
        assert (await bob.owner.get(stranger)).status_code == 404
    assert (await bob.owner.post(f"/v1/keys/{issued['key_id']}/revoke", json=WHY)).status_code == 404
    assert (await bob.owner.post(f"{path}/disable", json=WHY)).status_code == 404

    assert (await owner.post(f"{path}/disable", json=WHY)).json()["disabled"] is True
    assert (await program.get("/v1/me")).json()["code"] == "principal_disabled"
    assert (await owner.post(f"{path}/enable")).json()["disabled"] is False
    assert (await owner.post(f"/v1/keys/{issued['key_id']}/revoke", json=WHY)).json()["revoked_at"]
    refused = await program.get("/v1/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "credential_revoked")


async def test_a_key_is_replaced_while_both_count(alice: Customer) -> None:
    issued = (
        await alice.owner.post("/v1/keys", json={"name": "k", "environment_id": await alice.environment_id()})
    ).json()
    rotated = (await alice.owner.post(f"/v1/keys/{issued['key_id']}/rotate", json={"overlap_s": 3600})).json()
    for secret in (issued["secret"], rotated["secret"]):
        assert (await alice.as_key(secret).get("/v1/me")).status_code == 200
    shown = (await alice.owner.get(f"/v1/keys/{issued['key_id']}")).json()
    assert shown["replaced_by"] == rotated["key_id"]
    assert "secret" not in shown
    at_once = (await alice.owner.post(f"/v1/keys/{rotated['key_id']}/rotate", json={"overlap_s": 0})).json()
    assert (await alice.as_key(rotated["secret"]).get("/v1/me")).json()["code"] == "credential_expired"
    assert (await alice.as_key(at_once["secret"]).get("/v1/me")).status_code == 200


async def test_nobody_makes_a_key_for_another_person_or_hands_on_what_they_lack(alice: Customer) -> None:
    rita, _ = await alice.person(Grant(Role.REVIEWER))
    wanted = {"name": "k", "principal_id": rita, "environment_id": await alice.environment_id()}
    assert (await alice.owner.post("/v1/keys", json=wanted)).json()["code"] == "key_of_another_person"
    _, key = await alice.person(Grant(Role.ADMIN))
    refusal = await alice.as_key(key).post(f"/v1/principals/{rita}/grants", json={"role": "owner"})
    assert refusal.status_code == 403
    assert refusal.json()["missing"] in ("tenant:manage", "erasure:write"), "what an owner may and an admin may not"


async def test_the_last_owner_stays(alice: Customer) -> None:
    answer = await alice.owner.post(f"/v1/principals/{alice.owner_id}/disable", json=WHY)
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


async def test_people_are_added_once_and_listed_by_kind(alice: Customer, bob: Customer) -> None:
    person = {"email": "rita@harbour.example", "display_name": "Rita"}
    added = await alice.owner.post("/v1/people", json=person)
    assert added.status_code == 201
    assert (await alice.owner.post("/v1/people", json=person)).json()["code"] == "already_exists"
    assert (await bob.owner.post("/v1/people", json=person)).status_code == 201
    people = (await alice.owner.get("/v1/principals", params={"kind": "person"})).json()["items"]
    assert {each["principal_id"] for each in people} == {alice.owner_id, added.json()["principal_id"]}
    assert (await alice.owner.get("/v1/principals", params={"kind": "agent"})).json()["items"] == []


async def test_the_tenant_and_its_environments_are_its_own(alice: Customer, bob: Customer) -> None:
    changed = await alice.owner.patch("/v1/tenant", json={"tool_cap": 20})
    assert changed.json() == {"tenant_id": alice.tenant_id, "name": "alice", "tool_cap": 20}
    assert (await bob.owner.get("/v1/tenant")).json()["tool_cap"] == 15
    made = await alice.owner.post("/v1/environments", json={"name": "staging", "kind": "test"})
    assert (await alice.owner.get(made.headers["Location"])).status_code == 404  # a key stands in one environment
    assert (await bob.owner.get(made.headers["Location"])).status_code == 404
    listed = (await alice.owner.get("/v1/environments")).json()["items"]
    assert [each["kind"] for each in listed] == ["live"]


async def test_tools_and_connectors_are_shown(alice: Customer) -> None:
    tools = (await alice.owner.get("/v1/tools", params={"connector": "basics"})).json()["items"]
    assert "basics.echo" in {tool["name"] for tool in tools}
    one = (await alice.owner.get("/v1/tools/basics.echo")).json()
    assert {"effect", "scopes", "timeout_s", "input_schema", "output_schema", "idempotency"} <= one.keys()
    assert (await alice.owner.get("/v1/tools/no.tool")).json()["code"] == "tool_unknown"
    connectors = (await alice.owner.get("/v1/connectors")).json()["items"]
    usable = {each["name"] for each in connectors if each["usable"]}
    assert {"basics", "http", "invoices", "mail", "mcp", "objects", "sql", "webhooks"} <= usable
