"""Every grant of OAuth, against a real provider."""

import base64
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from fairlead_sdk.auth import OAuthServer

from fairlead.adapters.oauth import OAuth
from fairlead.domain.connections.errors import GrantRefused, ProviderMisfit
from fairlead.domain.connections.grants import DevicePending, Grant, OAuthClient
from tests.support.clock import ManualClock
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import REDIRECT_URI, RESOURCE, SECRET, Provider, plain_http
from tests.support.oauth_provider.reach import answer_of, connected, ours
from tests.support.oauth_provider.records import Records

READ, WRITE = "records:read", "records:write"


async def test_the_person_is_sent_with_a_challenge_and_never_with_what_it_was_made_of(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    request = await oauth.authorize(ours(oauth_provider.issuer), REDIRECT_URI, (READ, WRITE), state="the state")

    asked = parse_qs(urlsplit(request.url).query)
    assert asked["response_type"] == ["code"]
    assert asked["redirect_uri"] == [REDIRECT_URI]
    assert asked["state"] == ["the state"]
    assert asked["scope"] == [f"{READ} {WRITE}"]
    assert asked["resource"] == [RESOURCE]
    assert asked["code_challenge_method"] == ["S256"]
    assert request.issuer == oauth_provider.issuer.url
    assert request.verifier not in request.url
    assert request.verifier not in repr(request)


async def test_a_grant_that_outlives_the_visit_is_asked_for_with_consent(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    """OpenID Connect gives no offline access without; nobody who signs in nowhere is sent a nonce."""
    client = ours(oauth_provider.issuer)

    lasting = await oauth.authorize(client, REDIRECT_URI, ("openid", "offline_access"), state="s")
    plain = await oauth.authorize(client, REDIRECT_URI, (READ,), state="s")

    assert parse_qs(urlsplit(lasting.url).query)["prompt"] == ["consent"]
    assert not {"prompt", "nonce"} & parse_qs(urlsplit(plain.url).query).keys()


@pytest.mark.parametrize("client_id", ["basic", "post", "public", "ed25519", "es256"])
async def test_a_person_connects_an_account_whichever_way_the_client_proves_itself(
    oauth: OAuth, oauth_provider: Provider, oauth_clock: ManualClock, client_id: str
) -> None:
    """The secret of `basic` has characters that an encoding may spoil; the last two sign with a key."""
    grant = await connected(oauth, ours(oauth_provider.issuer, client_id), (READ, WRITE))

    assert grant.scopes == (READ, WRITE)
    assert grant.refresh_token
    assert grant.expires_at == oauth_clock.now() + timedelta(seconds=300)
    claims = _claims(grant)
    assert claims["aud"] == RESOURCE
    assert claims["iss"] == oauth_provider.issuer.url


async def test_the_service_that_a_token_is_for_takes_it_and_no_other(oauth: OAuth, oauth_provider: Provider) -> None:
    """The service checks signature, issuer, audience and scope by itself."""
    here, abroad = ours(oauth_provider.issuer), ours(oauth_provider.issuer, resource="https://archive.test/")
    token = (await connected(oauth, here, (READ,))).access_token
    for_another = (await connected(oauth, abroad, (READ,))).access_token
    of_another = (await connected(oauth, ours(oauth_provider.other), (READ,))).access_token

    async with Records.of(oauth_provider.issuer) as records, plain_http() as http:
        asked = [("GET", token), ("POST", token), ("GET", for_another), ("GET", of_another)]
        headers = [{"Authorization": f"Bearer {text}"} for _, text in asked]
        statuses = [
            (await http.request(method, f"{records.url}/records", headers=header)).status_code
            for (method, _), header in zip(asked, headers, strict=True)
        ]

    assert statuses == [200, 403, 401, 401]
    assert [claims["sub"] for claims in records.served] == ["ana"]


async def test_a_refresh_spends_the_refresh_token_and_brings_the_next(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    first = await connected(oauth, client, (READ,))

    second = await oauth.refresh(client, _refresh_token(first), first.scopes)
    third = await oauth.refresh(client, _refresh_token(second), second.scopes)

    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert len({first.access_token, second.access_token, third.access_token}) == 3
    assert third.scopes == (READ,)
    assert _claims(third)["aud"] == RESOURCE


async def test_a_grant_is_whole_after_a_refresh_that_brought_no_new_refresh_token(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer)
    first = await connected(oauth, client, (READ,))
    await oauth_provider.issuer.patch("/token", {"refresh_token": None, "scope": None})

    second = await oauth.refresh(client, _refresh_token(first), first.scopes)

    assert second.refresh_token == first.refresh_token
    assert second.scopes == (READ,)


async def test_a_program_gets_a_token_of_its_own(oauth: OAuth, oauth_provider: Provider) -> None:
    grant = await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert grant.scopes == (READ,)
    assert grant.refresh_token is None
    assert _claims(grant)["sub"] == "machine"


async def test_a_device_waits_for_the_person_and_then_gets_its_grant(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, "device")
    request = await oauth.device_start(client, (READ,))
    assert request.device_code not in repr(request)

    waiting = await oauth.device_poll(client, request.device_code, (READ,), request.interval_s)
    assert waiting == DevicePending(interval_s=request.interval_s)
    async with Person("ana") as ana:
        await ana.enter_code(request.verification_url, request.user_code)
    grant = await oauth.device_poll(client, request.device_code, (READ,), request.interval_s)

    assert isinstance(grant, Grant)
    assert grant.scopes == (READ,)
    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.device_poll(client, request.device_code, (READ,), request.interval_s)


async def test_a_device_that_asks_too_often_is_told_to_pause_longer(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, "device")
    request = await oauth.device_start(client, (READ,))
    await oauth_provider.issuer.answer("/token", 400, '{"error": "slow_down"}')

    waiting = await oauth.device_poll(client, request.device_code, (READ,), 5)

    assert waiting == DevicePending(interval_s=10)


async def test_a_device_code_that_nobody_entered_in_time_is_over(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, "device")
    request = await oauth.device_start(client, (READ,))
    await oauth_provider.issuer.clock_ahead(601)

    with pytest.raises(GrantRefused, match="expired_token"):
        await oauth.device_poll(client, request.device_code, (READ,), request.interval_s)


async def test_a_token_is_exchanged_for_one_that_another_service_takes(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, "exchanger", resource="https://archive.test/")
    subject = await connected(oauth, ours(oauth_provider.issuer, "exchanger", resource=None), ("openid",))

    grant = await oauth.token_exchange(
        client, subject.access_token, "urn:ietf:params:oauth:token-type:access_token", (READ,)
    )

    assert grant.scopes == (READ,)
    assert _claims(grant)["aud"] == "https://archive.test/"
    assert _claims(grant)["sub"] == "ana"


async def test_a_provider_is_told_that_a_grant_is_over(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))

    assert await oauth.revoke(client, grant)

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)
    assert await oauth.revoke(client, grant), "to end what is over is no error"


async def test_a_provider_without_a_place_to_be_told_is_not_told(oauth: OAuth, oauth_provider: Provider) -> None:
    grant = await connected(oauth, ours(oauth_provider.issuer), (READ,))

    assert await oauth.revoke(_by_address(oauth_provider), grant) is False


async def test_a_manifest_may_name_the_addresses_instead_of_an_issuer(oauth: OAuth, oauth_provider: Provider) -> None:
    grant = await connected(oauth, _by_address(oauth_provider), (READ,))

    assert grant.scopes == (READ,)


async def test_what_an_issuer_says_of_itself_is_asked_once_in_an_hour(
    oauth: OAuth, oauth_provider: Provider, oauth_clock: ManualClock
) -> None:
    client, at = ours(oauth_provider.issuer, "machine"), "/.well-known/oauth-authorization-server"
    await oauth.client_credentials(client, (READ,))
    oauth_clock.forward(timedelta(minutes=59))
    await oauth.client_credentials(client, (READ,))
    assert await oauth_provider.issuer.requests(at) == 1

    oauth_clock.forward(timedelta(minutes=1))
    await oauth.client_credentials(client, (READ,))
    assert await oauth_provider.issuer.requests(at) == 2


async def test_a_person_may_leave_out_scopes_and_the_grant_says_which_are_there(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ, WRITE), leaves=READ)

    assert grant.scopes == (READ,)
    assert _claims(grant)["scope"] == READ
    assert (await oauth.refresh(client, _refresh_token(grant), grant.scopes)).scopes == (READ,)


@pytest.mark.parametrize(("lasts_s", "used_s"), [(3599, 3599), (3600, 3600), (86_400, 3600), (10**15, 3600)])
async def test_a_token_that_can_be_had_anew_is_used_for_an_hour_at_most(
    oauth: OAuth, oauth_provider: Provider, oauth_clock: ManualClock, lasts_s: int, used_s: int
) -> None:
    await oauth_provider.issuer.patch("/token", {"expires_in": lasts_s})

    grant = await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert grant.expires_at == oauth_clock.now() + timedelta(seconds=used_s)


async def test_an_id_token_must_name_the_sign_in_that_it_was_asked_for(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, resource=None)
    grant = await connected(oauth, client, ("openid",))
    assert grant.scopes == ("openid",)

    request = await oauth.authorize(client, REDIRECT_URI, ("openid",), state="s")
    url = request.url.replace("nonce=", "nonce=another")
    async with Person("ana") as ana:
        callback = await ana.consent(url)
    with pytest.raises(ProviderMisfit, match="another sign-in"):
        await oauth.exchange(client, answer_of(request, callback), ("openid",))


def _by_address(provider: Provider) -> OAuthClient:
    url = provider.issuer.url
    server = OAuthServer(authorization_url=f"{url}/auth", token_url=f"{url}/token", resource=RESOURCE)
    return OAuthClient(server=server, client_id="basic", client_secret=SECRET)


def _claims(grant: Grant) -> dict[str, object]:
    """Only looked at; that a token is signed is what a resource server checks."""
    payload = grant.access_token.split(".")[1]
    claims: dict[str, object] = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="))
    return claims


def _refresh_token(grant: Grant) -> str:
    assert grant.refresh_token is not None
    return grant.refresh_token
