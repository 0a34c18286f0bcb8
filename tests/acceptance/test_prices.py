"""A tenant's own prices over the API: in versions, under the version that was seen, and nobody else's."""

from typing import Any

from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import WorkspaceId

from tests.support.api import Customer
from tests.support.workflows import until

PRICES = "/v1/prices"
RATES = {"provider": "acme", "model": "m-1", "valid_from": "2026-01-01T00:00:00Z", "input": 3_000_000, "output": 4}
FIRST: dict[str, Any] = {"fairlead_prices": 1, "rates": [RATES]}
SECOND: dict[str, Any] = {"fairlead_prices": 1, "rates": [{**RATES, "input": 5_000_000}]}
WHY = {"reason": "the contract of March"}


async def test_prices_are_published_in_versions_and_rolled_back(alice: Customer, bob: Customer) -> None:
    assert (await alice.owner.get(PRICES)).json()["code"] == "prices_not_found"
    first = await alice.owner.put(PRICES, json=FIRST, params=WHY, headers={"If-None-Match": "*"})
    assert (first.status_code, first.json()["version"], first.headers["ETag"]) == (201, 1, '"1"'), first.text
    again = await alice.owner.put(PRICES, json=FIRST, params=WHY)
    assert (again.status_code, again.json()["version"]) == (200, 1)
    stale = await alice.owner.put(PRICES, json=SECOND, params=WHY, headers={"If-None-Match": "*"})
    assert stale.status_code == 412
    second = await alice.owner.put(PRICES, json=SECOND, params=WHY, headers={"If-Match": '"1"'})
    assert second.json()["version"] == 2
    acme = {"provider": "acme", "model": "m-1"}
    found = await alice.owner.get(f"{PRICES}/lookup", params=acme)
    assert (found.json()["price_version"], found.json()["rates"]["input"]) == ("own-2", 5_000_000), found.text
    shown = await until(alice, PRICES, lambda prices: prices.get("version") == 2)
    assert (shown["document"], shown["author"]["kind"]) == (SECOND, "person")
    changed = (await alice.owner.get(f"{PRICES}/versions/2/difference")).json()["changes"]
    assert [(each["op"], each["path"]) for each in changed] == [("replace", "/rates")]
    back = await alice.owner.post(f"{PRICES}/rollback", json={"reason": "not signed", "to_version": 1})
    assert (back.status_code, back.json()["version"]) == (200, 3), back.text
    versions = await until(alice, f"{PRICES}/versions", lambda page: len(page["items"]) == 3)
    assert [each["version"] for each in versions["items"]] == [3, 2, 1]
    assert versions["items"][0]["document_hash"] == versions["items"][2]["document_hash"]
    unknown = await bob.owner.get(f"{PRICES}/lookup", params=acme)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "price_unknown"), unknown.text
    assert (await bob.owner.get(f"{PRICES}/versions/1")).status_code == 404
    lost = await bob.owner.post(f"{PRICES}/rollback", json={"reason": "x", "to_version": 1})
    assert lost.status_code == 404


async def test_what_no_prices_can_be_is_refused_and_a_part_of_the_tenant_sets_none(alice: Customer) -> None:
    refused = await alice.owner.put(PRICES, json={"fairlead_prices": 1, "rates": [{**RATES, "input": -1}]}, params=WHY)
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "/rates/0/input"), refused.text
    _, text = await alice.person(Grant(role=Role.ADMIN, workspace_id=WorkspaceId(await alice.workspace_id())))
    key = alice.as_key(text)
    assert (await key.get(PRICES)).status_code == 403
    assert (await key.put(PRICES, json=FIRST, params=WHY)).status_code == 403
