"""Tenants that ask models of servers over real sockets: keys in the vault, prices of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.model_upstream import ModelUpstream
from tests.support.workflows import at_work

PROVIDER = "openai_compatible"
KEY = "sk-a-key-that-nobody-sees-1234567890"
RATES = {"provider": PROVIDER, "model": "*", "valid_from": "2026-01-01T00:00:00Z", "input": 0, "output": 1_000_000}
PRICES: dict[str, Any] = {"fairlead_prices": 1, "rates": [RATES]}


@asynccontextmanager
async def served_beside(nats_url: str, template: DatabaseUrls, *servers: ModelUpstream) -> AsyncIterator[Served]:
    """An API and a worker that may reach these servers."""
    settings = {
        "outbound_private_networks": ("127.0.0.1/32",),
        "outbound_plain_http": tuple(each.server.authority for each in servers),
    }
    async with (
        cloned_database(template) as database,
        in_a_task_of_its_own(served_api(nats_url, database, settings)) as served,
        in_a_task_of_its_own(at_work(served)),
    ):
        yield served


async def equipped(who: Customer, **servers: ModelUpstream) -> None:
    """A connection to each server, and what its models cost."""
    for name, server in servers.items():
        body = {"connector": PROVIDER, "name": name, "config": {"base_url": server.server.url("/v1")}}
        made = await who.owner.post("/v1/connections", json=await placed(who, body))
        assert made.status_code == 201, made.text
        given = await who.owner.post(f"/v1/connections/{made.json()['connection_id']}/secret", json={"key": KEY})
        assert given.status_code == 200, given.text
    priced = await who.owner.put("/v1/prices", json=PRICES, params={"reason": "ours"})
    assert priced.status_code == 201, priced.text


async def placed(who: Customer, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "workspace_id": await who.workspace_id()}
