"""Accounts at a counterpart, connected over the API with a real provider."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.oauth import OAuth
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.oauth_provider import reach
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import SECRET, Provider
from tests.support.oauth_provider.reach import ours, outbound_to
from tests.support.stack import PLUGINS

CONNECTIONS, CLIENTS, CALLBACK = "/v1/connections", "/v1/oauth-clients", "/v1/oauth/callback"


@asynccontextmanager
async def api_with_records(
    nats_url: str, database: DatabaseUrls, provider: Provider, *more_hosts: str
) -> AsyncIterator[Served]:
    """The connector `records` is installed, and may reach the provider and what else is named."""
    hosts = [urlsplit(issuer.url).netloc for issuer in (provider.issuer, provider.other)]
    settings = {
        "connectors": ("basics", "webhooks", "mail", "records"),
        "trusted_connectors": ("records",),
        "public_url": "https://fairlead.test",
        "outbound_private_networks": ("127.0.0.0/8",),
        "outbound_plain_http": (*hosts, *more_hosts),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(PLUGINS), *sys.path])
        async with in_a_task_of_its_own(served_api(nats_url, database, settings)) as found:
            yield found


def records(provider: Provider, **changes: Any) -> dict[str, Any]:
    config = {"issuer": provider.issuer.url, "base_url": "https://records.example"}
    return {"connector": "records", "name": "main", "config": config, **changes}


async def registered(who: Customer, client_id: str = "basic") -> dict[str, Any]:
    secret = None if client_id == "device" else SECRET
    answer = await who.owner.post(
        CLIENTS, json={"connector": "records", "client_id": client_id, "client_secret": secret}
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def made(who: Customer, provider: Provider, **changes: Any) -> dict[str, Any]:
    answer = await who.owner.post(CONNECTIONS, json=records(provider, **changes))
    assert answer.status_code == 201, answer.text
    connection: dict[str, Any] = answer.json()
    return connection


async def sent(who: Customer, connection: dict[str, Any], *scopes: str) -> tuple[dict[str, str], dict[str, str]]:
    """Somebody went to the provider and consented: what the callback is called with, and the cookie they got."""
    body = {"scopes": list(scopes)} if scopes else {}
    begun = await who.owner.post(f"{CONNECTIONS}/{connection['connection_id']}/authorize", json=body)
    assert begun.status_code == 200, begun.text
    name, _, rest = begun.headers["set-cookie"].partition("=")
    assert all(word in rest for word in ("HttpOnly", "Secure", "SameSite=lax", f"Path={CALLBACK}", "Max-Age=600"))
    async with Person("ana") as ana:
        callback = await ana.consent(begun.json()["authorization_url"])
    return callback, {"Cookie": f"{name}={rest.partition(';')[0]}"}


async def came_back(served: Served, callback: dict[str, str], headers: dict[str, str] | None = None) -> httpx2.Response:
    return await served.client().get(CALLBACK, params=callback, headers=headers or {})


async def connected(served: Served, who: Customer, provider: Provider, *scopes: str, **changes: Any) -> dict[str, Any]:
    connection = await made(who, provider, **changes)
    callback, cookie = await sent(who, connection, *scopes)
    page = await came_back(served, callback, cookie)
    assert page.status_code == 200, page.text
    return connection


async def seen(who: Customer, connection: dict[str, Any], after: httpx2.Response | None = None) -> dict[str, Any]:
    headers = {"Fairlead-Position": str(await who.served.parts.log.last_sequence())}
    answer = await who.owner.get(f"{CONNECTIONS}/{connection['connection_id']}", headers=headers)
    assert answer.status_code == 200, (answer.text, after)
    shown: dict[str, Any] = answer.json()
    return shown


async def subject_token(provider: Provider) -> str:
    """What a person got from the provider elsewhere."""
    async with outbound_to(provider) as outbound:
        oauth = OAuth(outbound, SystemClock(), timeout_s=5.0)
        grant = await reach.connected(oauth, ours(provider.issuer, "exchanger", resource=None), ("openid",))
    return grant.access_token
