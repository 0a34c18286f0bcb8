"""What goes wrong between us and a provider, by accident or on purpose, against a real one."""

from datetime import timedelta

import pytest
from fairlead_sdk.auth import OAuthServer
from msgspec.structs import replace

from fairlead.adapters.oauth import OAuth
from fairlead.adapters.oauth.flows import ACCESS_TOKEN
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.domain.connections.errors import GrantRefused, ProviderMisfit, ProviderUnavailable
from fairlead.domain.connections.grants import AuthorizationRequest, Grant, OAuthClient
from tests.support.clock import ManualClock
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import REDIRECT_URI, Provider
from tests.support.oauth_provider.reach import answer_of, connected, ours

READ, WRITE, ADMIN = "records:read", "records:write", "records:admin"
METADATA = "/.well-known/oauth-authorization-server"


# --- the way back from the provider ---


async def test_a_code_that_comes_twice_ends_the_grant_that_it_gave(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    request, callback = await _consented(oauth, client)
    grant = await oauth.exchange(client, answer_of(request, callback), (READ,))

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.exchange(client, answer_of(request, callback), (READ,))

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)


async def test_a_tampered_code_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    request, callback = await _consented(oauth, client)
    code = callback["code"]
    tampered = callback | {"code": code[:-1] + ("A" if code[-1] != "A" else "B")}

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.exchange(client, answer_of(request, tampered), (READ,))


async def test_a_stolen_code_is_worth_nothing_in_another_sign_in(oauth: OAuth, oauth_provider: Provider) -> None:
    """The thief begins a connection of their own and puts the victim's code into its callback."""
    client = ours(oauth_provider.issuer)
    _, of_victim = await _consented(oauth, client, "victim")
    of_thief = await oauth.authorize(client, REDIRECT_URI, (READ,), state="of the thief")

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.exchange(client, answer_of(of_thief, of_victim), (READ,))


async def test_a_code_counts_only_for_the_client_that_it_was_given_to(oauth: OAuth, oauth_provider: Provider) -> None:
    request, callback = await _consented(oauth, ours(oauth_provider.issuer))

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.exchange(ours(oauth_provider.issuer, "post"), answer_of(request, callback), (READ,))


async def test_a_code_counts_only_with_the_address_that_it_came_to(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    request, callback = await _consented(oauth, client)
    elsewhere = replace(answer_of(request, callback), redirect_uri=f"{REDIRECT_URI}/elsewhere")

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.exchange(client, elsewhere, (READ,))


async def test_a_code_of_another_issuer_is_taken_to_nobody(oauth: OAuth, oauth_provider: Provider) -> None:
    """The mix-up: the person was led on to the other provider, whose code came back to our callback."""
    client = ours(oauth_provider.issuer)
    request = await oauth.authorize(client, REDIRECT_URI, (READ,), state="s")
    led_on = request.url.replace(oauth_provider.issuer.url, oauth_provider.other.url)
    async with Person("ana") as ana:
        callback = await ana.consent(led_on)
    assert callback["state"] == "s"
    assert callback["iss"] == oauth_provider.other.url

    with pytest.raises(ProviderMisfit, match="another provider's"):
        await oauth.exchange(client, answer_of(request, callback), (READ,))

    assert await oauth_provider.issuer.requests("/token") == 0
    assert await oauth_provider.other.requests("/token") == 0


async def test_an_answer_that_leaves_its_issuer_out_is_refused_where_one_was_promised(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer)
    request, callback = await _consented(oauth, client)
    callback.pop("iss")

    with pytest.raises(ProviderMisfit, match="whose it is"):
        await oauth.exchange(client, answer_of(request, callback), (READ,))

    assert await oauth_provider.issuer.requests("/token") == 0


async def test_an_answer_to_a_request_to_another_issuer_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    """The connector's issuer was changed while the person was away."""
    request, callback = await _consented(oauth, ours(oauth_provider.issuer))

    with pytest.raises(ProviderMisfit, match="whose it is"):
        await oauth.exchange(ours(oauth_provider.other), answer_of(request, callback), (READ,))

    assert await oauth_provider.other.requests("/token") == 0


async def test_a_person_who_says_no_is_told_apart_from_a_fault(oauth: OAuth, oauth_provider: Provider) -> None:
    request = await oauth.authorize(ours(oauth_provider.issuer), REDIRECT_URI, (READ,), state="s")
    async with Person("ana") as ana:
        callback = await ana.refuse(request.url)

    assert callback["error"] == "access_denied"
    assert callback["state"] == "s"


# --- grants that end ---


async def test_a_refresh_token_that_has_expired_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))
    await oauth_provider.issuer.clock_ahead(3601)

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)


async def test_a_rotated_refresh_token_that_comes_again_ends_the_grant(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))
    newer = await oauth.refresh(client, _refresh_token(grant), grant.scopes)

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(newer), grant.scopes)


async def test_a_grant_that_the_person_ended_at_the_provider_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    of_ana, of_bo = await connected(oauth, client, (READ,), "ana"), await connected(oauth, client, (READ,), "bo")

    await oauth_provider.issuer.forget("ana")

    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(of_ana), of_ana.scopes)
    await oauth.refresh(client, _refresh_token(of_bo), of_bo.scopes)


async def test_a_wrong_client_secret_is_no_reason_to_ask_the_person(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))

    with pytest.raises(ProviderMisfit, match="invalid_client"):
        await oauth.refresh(replace(client, client_secret="wrong"), _refresh_token(grant), grant.scopes)

    await oauth.refresh(client, _refresh_token(grant), grant.scopes)


async def test_scopes_that_were_not_asked_for_are_reported_as_they_are(oauth: OAuth, oauth_provider: Provider) -> None:
    await oauth_provider.issuer.patch("/token", {"scope": f"{ADMIN} {READ} {ADMIN}"})

    grant = await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ, WRITE))

    assert grant.scopes == (ADMIN, READ)


@pytest.mark.parametrize("issued", [None, "urn:ietf:params:oauth:token-type:refresh_token"])
async def test_an_exchange_that_yields_no_access_token_is_refused(
    oauth: OAuth, oauth_provider: Provider, issued: str | None
) -> None:
    client = ours(oauth_provider.issuer, "exchanger")
    subject = await connected(oauth, replace(client, server=OAuthServer(issuer=oauth_provider.issuer.url)), ("openid",))
    await oauth_provider.issuer.patch("/token", {"issued_token_type": issued})

    with pytest.raises(ProviderMisfit, match="other than an access token"):
        await oauth.token_exchange(client, subject.access_token, ACCESS_TOKEN, (READ,))


async def test_a_revocation_that_a_provider_did_not_take_is_not_called_done(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))

    await oauth_provider.issuer.answer("/token/revocation", 503, "", times=1)
    with pytest.raises(ProviderUnavailable):
        await oauth.revoke(client, grant)
    await oauth_provider.issuer.answer("/token/revocation", 400, '{"error": "unsupported_token_type"}', times=1)
    with pytest.raises(ProviderMisfit, match="unsupported_token_type"):
        await oauth.revoke(client, grant)


# --- clocks ---


@pytest.mark.parametrize("ahead_s", [-7200, 7200])
async def test_when_a_token_ends_does_not_depend_on_the_providers_clock(
    oauth: OAuth, oauth_provider: Provider, oauth_clock: ManualClock, ahead_s: int
) -> None:
    await oauth_provider.issuer.clock_ahead(ahead_s)

    grant = await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert grant.expires_at == oauth_clock.now() + timedelta(seconds=300)


@pytest.mark.parametrize("ahead_s", [-340, 50])
async def test_clocks_may_differ_by_a_minute_where_somebody_signs_in(
    oauth: OAuth, oauth_provider: Provider, ahead_s: int
) -> None:
    """An ID token is good for 300 seconds: one from 340 seconds ago ended 40 seconds ago."""
    await oauth_provider.issuer.clock_ahead(ahead_s)

    await connected(oauth, ours(oauth_provider.issuer, resource=None), ("openid",))


@pytest.mark.parametrize("ahead_s", [-370, 75])
async def test_clocks_that_differ_by_more_are_refused(oauth: OAuth, oauth_provider: Provider, ahead_s: int) -> None:
    await oauth_provider.issuer.clock_ahead(ahead_s)

    with pytest.raises(ProviderMisfit, match="does not hold"):
        await connected(oauth, ours(oauth_provider.issuer, resource=None), ("openid",))


async def test_an_assertion_of_a_client_whose_clock_is_far_off_is_refused(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer, "ed25519")
    grant = await connected(oauth, client, (READ,))
    await oauth_provider.issuer.clock_ahead(600)

    with pytest.raises(ProviderMisfit, match="invalid_client"):
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)


# --- a provider that is down ---


async def test_a_refresh_whose_answer_is_lost_may_have_happened(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))
    await oauth_provider.issuer.lose("/token")

    with pytest.raises(ProviderUnavailable) as lost:
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)

    assert lost.value.may_have_happened
    with pytest.raises(GrantRefused, match="invalid_grant"):
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)


async def test_a_refresh_that_broke_before_it_was_carried_out_works_again(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))
    await oauth_provider.issuer.cut("/token", times=1)

    with pytest.raises(ProviderUnavailable) as broken:
        await oauth.refresh(client, _refresh_token(grant), grant.scopes)

    assert broken.value.may_have_happened, "from here it looks like a lost answer"
    await oauth.refresh(client, _refresh_token(grant), grant.scopes)


async def test_a_provider_that_says_nothing_is_given_up(
    way_to_provider: GuardedOutbound, oauth_clock: ManualClock, oauth_provider: Provider
) -> None:
    await oauth_provider.issuer.hold("/token")
    oauth = OAuth(way_to_provider, oauth_clock, timeout_s=0.5)

    with pytest.raises(ProviderUnavailable) as silent:
        await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert silent.value.may_have_happened


async def test_a_provider_that_cannot_be_reached_has_done_nothing(
    oauth: OAuth, oauth_provider: Provider, unused_tcp_port: int
) -> None:
    """It answered for its metadata, and was gone when it was asked for a token."""
    nobody = f"http://127.0.0.1:{unused_tcp_port}/token"
    await oauth_provider.issuer.patch(METADATA, {"token_endpoint": nobody})
    way = GuardedOutbound(
        private_networks=["127.0.0.0/8"],
        plain_http=[oauth_provider.issuer.url.removeprefix("http://"), f"127.0.0.1:{unused_tcp_port}"],
    )
    async with way:
        oauth = OAuth(way, ManualClock())
        with pytest.raises(ProviderUnavailable) as gone:
            await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert not gone.value.may_have_happened


@pytest.mark.parametrize(
    ("status", "body", "may_have_happened"),
    [
        (503, '{"error": "temporarily_unavailable"}', False),
        (429, "slow down", False),
        (500, "oops", True),
        (502, '{"error": "bad gateway"}', True),
    ],
)
async def test_a_provider_that_is_busy_says_when_to_ask_again(
    oauth: OAuth, oauth_provider: Provider, status: int, body: str, may_have_happened: bool
) -> None:
    await oauth_provider.issuer.answer("/token", status, body, headers={"Retry-After": "7"})

    with pytest.raises(ProviderUnavailable) as busy:
        await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert busy.value.retry_after_s == 7
    assert busy.value.may_have_happened is may_have_happened


async def test_metadata_that_cannot_be_had_now_is_asked_for_again(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, "machine")
    await oauth_provider.issuer.answer(METADATA, 503, "", times=1)
    with pytest.raises(ProviderUnavailable) as busy:
        await oauth.client_credentials(client, (READ,))
    assert not busy.value.may_have_happened

    await oauth.client_credentials(client, (READ,))


# --- a provider that is not what it says ---


async def test_metadata_for_another_issuer_is_not_believed(oauth: OAuth, oauth_provider: Provider) -> None:
    """Nor is the second document asked for then: whoever lies in one is not asked for another."""
    await oauth_provider.issuer.patch(METADATA, {"issuer": oauth_provider.other.url})

    with pytest.raises(ProviderMisfit, match="another issuer"):
        await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert await oauth_provider.issuer.requests("/.well-known/openid-configuration") == 0
    assert await oauth_provider.issuer.requests("/token") == 0


async def test_an_issuer_is_compared_letter_by_letter(oauth: OAuth, oauth_provider: Provider) -> None:
    client = ours(oauth_provider.issuer, "machine")
    with_slash = replace(client, server=OAuthServer(issuer=f"{oauth_provider.issuer.url}/"))

    with pytest.raises(ProviderMisfit, match="another issuer"):
        await oauth.client_credentials(with_slash, (READ,))


async def test_an_issuer_may_publish_by_openid_connect_only(oauth: OAuth, oauth_provider: Provider) -> None:
    await oauth_provider.issuer.answer(METADATA, 404, "not here")

    await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))


@pytest.mark.parametrize(
    "document",
    [
        "<html></html>",
        "[]",
        '{"issuer": 7}',
        '{"token_endpoint": "x"}',
        '{"more":' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"issuer":"' + "x" * 300_000,
    ],
    ids=["html", "list", "number", "no issuer", "deep", "large"],
)
async def test_metadata_that_cannot_be_read_is_refused(oauth: OAuth, oauth_provider: Provider, document: str) -> None:
    await oauth_provider.issuer.answer(METADATA, 200, document)

    with pytest.raises((ProviderMisfit, ProviderUnavailable)):
        await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))


async def test_a_provider_without_pkce_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    await oauth_provider.issuer.patch(METADATA, {"code_challenge_methods_supported": ["plain"]})

    with pytest.raises(ProviderMisfit, match="PKCE"):
        await oauth.authorize(ours(oauth_provider.issuer), REDIRECT_URI, (READ,), state="s")


async def test_a_token_endpoint_that_leads_elsewhere_is_not_followed(oauth: OAuth, oauth_provider: Provider) -> None:
    await oauth_provider.issuer.answer("/token", 307, "", headers={"Location": f"{oauth_provider.other.url}/token"})

    with pytest.raises(ProviderMisfit, match="status 307"):
        await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))

    assert await oauth_provider.other.requests("/token") == 0


async def test_endpoints_at_addresses_that_are_not_public_are_refused(
    oauth_provider: Provider, oauth_clock: ManualClock
) -> None:
    """As everywhere outside these tests."""
    plain = oauth_provider.issuer.url.removeprefix("http://")
    async with GuardedOutbound(plain_http=[plain]) as way:
        with pytest.raises(ProviderMisfit, match="egress_denied"):
            await OAuth(way, oauth_clock).client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))


async def test_an_endpoint_without_tls_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    await oauth_provider.issuer.patch(METADATA, {"token_endpoint": "http://tokens.example.com/"})

    with pytest.raises(ProviderMisfit, match="egress_denied"):
        await oauth.client_credentials(ours(oauth_provider.issuer, "machine"), (READ,))


@pytest.mark.parametrize(
    "fields",
    [
        {"id_token": None},
        {"id_token": "e30.e30.e30"},
        {"id_token": "eyJhbGciOiJub25lIn0.e30."},
        {"id_token": "no token"},
    ],
    ids=["none", "empty", "unsigned", "words"],
)
async def test_an_id_token_that_does_not_hold_is_refused(
    oauth: OAuth, oauth_provider: Provider, fields: dict[str, str | None]
) -> None:
    await oauth_provider.issuer.patch("/token", fields)

    with pytest.raises((ProviderMisfit, ProviderUnavailable)):
        await connected(oauth, ours(oauth_provider.issuer, resource=None), ("openid",))


async def test_an_id_token_of_another_key_is_refused(oauth: OAuth, oauth_provider: Provider) -> None:
    """The provider's keys are replaced by others of the same id."""
    jwk = {"kty": "EC", "crv": "P-256", "kid": "test", "alg": "ES256", "use": "sig"}
    point = {
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    }
    await oauth_provider.issuer.patch("/jwks", {"keys": [jwk | point]})

    with pytest.raises(ProviderMisfit, match="does not hold"):
        await connected(oauth, ours(oauth_provider.issuer, resource=None), ("openid",))


# --- words ---


async def test_nothing_that_a_provider_says_or_that_we_sent_is_in_an_error(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    client = ours(oauth_provider.issuer)
    grant = await connected(oauth, client, (READ,))
    token = _refresh_token(grant)
    said = f'{{"error": "{token}", "error_description": "{token} {client.client_secret}"}}'
    for status in (200, 400, 401, 403, 500):
        await oauth_provider.issuer.answer("/token", status, said, times=1)

        with pytest.raises((ProviderMisfit, ProviderUnavailable)) as refused:
            await oauth.refresh(client, token, grant.scopes)

        assert token not in str(refused.value) + repr(refused.value)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None
    for value in (grant, client):
        assert token not in repr(value)
        assert str(client.client_secret) not in repr(value)


async def _consented(
    oauth: OAuth, client: OAuthClient, person: str = "ana"
) -> tuple[AuthorizationRequest, dict[str, str]]:
    request = await oauth.authorize(client, REDIRECT_URI, (READ,), state="a-state")
    async with Person(person) as browser:
        return request, await browser.consent(request.url)


def _refresh_token(grant: Grant) -> str:
    assert grant.refresh_token is not None
    return grant.refresh_token
