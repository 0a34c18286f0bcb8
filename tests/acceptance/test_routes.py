"""Routes of models over the API: published, compared, rolled back, retired; another tenant's are not there."""

from typing import Any

import httpx2
import msgspec
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from fairlead.domain.routing.standing import Residency
from tests.support.api import Customer
from tests.support.routing import candidate, document

PATH = "/v1/routes/cheap"
WHY = {"reason": "first try"}


async def put(customer: Customer, body: Any, headers: Any = None) -> httpx2.Response:
    return await customer.owner.put(PATH, params=WHY, json=body, headers=headers)


def reaching(answer: httpx2.Response) -> dict[str, str]:
    return {"Fairlead-Position": answer.headers["Fairlead-Position"]}


async def test_a_route_is_published_compared_rolled_back_and_retired(alice: Customer, bob: Customer) -> None:
    small, big = document(candidate("small")), document(candidate("small"), candidate("big", tier=1), title="Two")
    first = await put(alice, small, {"If-None-Match": "*"})
    assert (first.status_code, first.json()["version"], first.headers["ETag"]) == (201, 1, '"1"'), first.text
    assert (await put(alice, small)).status_code == 200
    assert (await put(alice, big, {"If-Match": '"2"'})).status_code == 412
    second = await put(alice, big, {"If-Match": '"1"'})
    compared = await alice.owner.get(f"{PATH}/versions/2/difference", headers=reaching(second))
    assert [change["path"] for change in compared.json()["changes"]] == ["/candidates/big", "/title"]
    shown = (await alice.owner.get(PATH)).json()
    assert (shown["title"], shown["document"], shown["shares"]) == ("Two", big, {})
    back = await alice.owner.post(f"{PATH}/rollback", json={"reason": "too dear"})
    assert (back.status_code, back.json()["version"]) == (201, 3)
    listed = (await alice.owner.get(f"{PATH}/versions", headers=reaching(back))).json()["items"]
    assert [(each["version"], each["restores"], each["reason"]) for each in listed] == [
        (3, 1, "too dear"),
        (2, None, "first try"),
        (1, None, "first try"),
    ]
    assert (await alice.owner.get(f"{PATH}/versions/3")).json()["document"] == small
    found = await alice.served.parts.routes.route(alice.tenant_id, "cheap")
    assert found is not None
    assert (found.version, len(found.document.candidates)) == (3, 1)
    for path in (PATH, f"{PATH}/versions", f"{PATH}/versions/1", f"{PATH}/versions/2/difference"):
        assert (await bob.owner.get(path, headers=reaching(back))).status_code == 404
    assert (await bob.owner.get("/v1/routes")).json()["items"] == []
    assert (await bob.owner.post(f"{PATH}/rollback", json={"reason": "x"})).status_code == 404
    assert (await bob.owner.delete(PATH, params=WHY)).status_code == 404
    for customer, status in ((bob, 404), (alice, 204)):
        assert (await customer.owner.delete(f"{PATH}/answers", params=WHY)).status_code == status
    found = await alice.served.parts.routes.route(alice.tenant_id, "cheap")
    assert found is not None
    assert found.forgotten == 1
    retired = await alice.owner.delete(PATH, params={"reason": "no longer needed"})
    assert retired.json()["retired"]
    (line,) = (await alice.owner.get("/v1/routes", headers=reaching(retired))).json()["items"]
    assert (line["name"], line["retired_reason"]) == ("cheap", "no longer needed")
    assert await alice.served.parts.routes.route(alice.tenant_id, "cheap") is None


async def test_a_route_says_whom_it_would_choose_now_and_why(alice: Customer, bob: Customer) -> None:
    tiers = [candidate("gone", provider="nobody"), candidate("dear", provider="anthropic", model="claude-no-such")]
    await put(alice, document(*tiers))
    said = await alice.owner.post(f"{PATH}/explain", json={"task_class": "extraction"})
    assert said.status_code == 200, said.text
    found = said.json()
    assert (found["candidate"], found["refused_by"], found["code"]) == (None, "price", "price_unknown")
    assert {each["candidate"]: each["because"]["code"] for each in found["passed_over"]} == {
        "gone": "provider_missing",
        "dear": "price_unknown",
    }
    assert [(each["candidate"], each["calls"], each["breaker"]) for each in found["standing"]] == [
        ("gone", 0, "closed"),
        ("dear", 0, "closed"),
    ]
    await put(alice, document(candidate("known", provider="anthropic", model="claude-sonnet-4-5")))
    known = (await alice.owner.post(f"{PATH}/explain", json={"max_output_tokens": 1_000})).json()
    assert known["candidate"] == "known"
    assert known["costs_at_most_usd_micros"] > 0
    assert known["why"][0]["code"] == "route_version"
    assert (await bob.owner.post(f"{PATH}/explain", json={})).status_code == 404


async def test_all_that_is_wrong_with_a_route_is_told_at_once_and_nothing_changes(alice: Customer) -> None:
    refused = await put(alice, document(candidate("a"), candidate("a", tier=11), extra=1))
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:fairlead:problem:invalid_input")
    assert {each["path"] for each in refused.json()["errors"]} == {"/extra", "/candidates/1/tier"}
    assert (await alice.owner.get(PATH)).status_code == 404
    named = await alice.owner.put("/v1/routes/Not-A-Name", params=WHY, json=document(candidate("a")))
    assert named.status_code == 404


async def test_routes_and_residency_are_changed_only_by_who_may_for_the_whole_tenant(alice: Customer) -> None:
    _, key = await alice.person(Grant(Role.ADMIN, WorkspaceId(await alice.workspace_id())))
    admin = alice.served.client(key)
    made = await admin.put(PATH, params=WHY, json=document(candidate("a")))
    assert (made.status_code, made.json()["missing"]) == (403, "route:publish")
    said = await admin.put("/v1/residency", json={"reason": "x"})
    assert (said.status_code, said.json()["missing"]) == (403, "residency:manage")
    assert (await admin.get("/v1/routes")).status_code == 200


async def test_a_tenant_says_where_its_data_may_be_read(alice: Customer, bob: Customer) -> None:
    before = await alice.owner.get("/v1/residency")
    assert (before.json()["version"], before.json()["regions"], before.headers["ETag"]) == (0, None, '"0"')
    setting = {"regions": ["eu", "ch"], "reason": "contracts"}
    said = await alice.owner.put("/v1/residency", json=setting, headers={"If-Match": '"0"'})
    assert (said.json()["version"], said.json()["regions"], said.json()["changed_by"]) == (
        1,
        ["ch", "eu"],
        alice.owner_id,
    )
    late = await alice.owner.put("/v1/residency", json=setting | {"regions": []}, headers={"If-Match": '"0"'})
    assert late.status_code == 412
    routes = alice.served.parts.routes
    assert (await routes.residency(alice.tenant_id)).regions == frozenset({"eu", "ch"})
    assert await routes.residency(bob.tenant_id) == Residency()
    assert msgspec.json.decode((await bob.owner.get("/v1/residency")).content)["version"] == 0
