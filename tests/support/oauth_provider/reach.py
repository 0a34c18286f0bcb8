"""Our side of OAuth, allowed to reach the provider of tests, which is at an address that is not public."""

import json
from urllib.parse import urlsplit

from fairlead_sdk.auth import OAuthServer

from fairlead.adapters.oauth import OAuth
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.domain.connections.grants import AuthorizationAnswer, AuthorizationRequest, Grant, OAuthClient
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import CLIENT_KEYS, REDIRECT_URI, RESOURCE, SECRET, Issuer, Provider

WITH_SECRET = ("basic", "post", "machine", "exchanger")


def outbound_to(provider: Provider) -> GuardedOutbound:
    hosts = [urlsplit(issuer.url).netloc for issuer in (provider.issuer, provider.other)]
    return GuardedOutbound(private_networks=["127.0.0.0/8"], plain_http=hosts)


def ours(issuer: Issuer, client_id: str = "basic", resource: str | None = RESOURCE) -> OAuthClient:
    """One of the clients that the provider knows."""
    key = CLIENT_KEYS.get(client_id)
    return OAuthClient(
        server=OAuthServer(issuer=issuer.url, resource=resource),
        client_id=client_id,
        client_secret=SECRET if client_id in WITH_SECRET else None,
        private_key=json.dumps(key) if key else None,
    )


def answer_of(request: AuthorizationRequest, callback: dict[str, str]) -> AuthorizationAnswer:
    """What came back with the callback, and what was kept of the request."""
    return AuthorizationAnswer(
        code=callback["code"],
        verifier=request.verifier,
        redirect_uri=REDIRECT_URI,
        expected_issuer=request.issuer,
        issuer=callback.get("iss"),
    )


async def connected(
    oauth: OAuth, client: OAuthClient, scopes: tuple[str, ...], person: str = "ana", leaves: str | None = None
) -> Grant:
    """A person has signed in and consented, to `leaves` or to everything."""
    request = await oauth.authorize(client, REDIRECT_URI, scopes, state="a-state")
    async with Person(person) as browser:
        callback = await browser.consent(request.url, leaves)
    return await oauth.exchange(client, answer_of(request, callback), scopes)
