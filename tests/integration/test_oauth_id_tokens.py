"""Who signed in: an ID token with one thing wrong is refused. The provider answers with tokens of our making."""

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from joserfc.jws import serialize_compact

from fairlead.adapters.oauth import OAuth
from fairlead.adapters.oauth.id_tokens import nonce_of
from fairlead.domain.connections.errors import ProviderMisfit, ProviderUnavailable
from fairlead.domain.connections.grants import AuthorizationAnswer, Grant
from tests.support.oauth_provider.person import Person
from tests.support.oauth_provider.provider import REDIRECT_URI, Provider
from tests.support.oauth_provider.reach import answer_of, ours

KEY = ECKey.generate_key("P-256", {"kid": "ours", "use": "sig", "alg": "ES256"})
SCOPES = ("openid",)


async def consented(oauth: OAuth, provider: Provider) -> AuthorizationAnswer:
    request = await oauth.authorize(ours(provider.issuer, resource=None), REDIRECT_URI, SCOPES, state="s")
    async with Person("ana") as ana:
        return answer_of(request, await ana.consent(request.url))


def claims(provider: Provider, answer: AuthorizationAnswer) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": provider.issuer.url,
        "sub": "ana",
        "aud": "basic",
        "iat": now,
        "exp": now + 300,
        "nonce": nonce_of(answer.verifier),
    }


async def exchanged_for(oauth: OAuth, provider: Provider, answer: AuthorizationAnswer, id_token: str) -> Grant:
    """The provider answers with this ID token and says that these are its keys."""
    await provider.issuer.patch("/jwks", {"keys": [KEY.as_dict(private=False)]})
    await provider.issuer.patch("/token", {"id_token": id_token})
    return await oauth.exchange(ours(provider.issuer, resource=None), answer, SCOPES)


async def test_an_id_token_with_nothing_wrong_is_taken(oauth: OAuth, oauth_provider: Provider) -> None:
    answer = await consented(oauth, oauth_provider)
    token = jwt.encode({"alg": "ES256", "kid": "ours"}, claims(oauth_provider, answer), KEY)

    assert (await exchanged_for(oauth, oauth_provider, answer, token)).scopes == SCOPES


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.test"},
        {"iss": None},
        {"aud": "post"},
        {"aud": ["post", "public"]},
        {"aud": ["basic", "post"]},
        {"aud": ["basic", "post"], "azp": "post"},
        {"azp": "post"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
        {"nonce": None},
        {"nonce": "another"},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"iat": 99_999_999_999},
        {"iat": None},
        {"nbf": 99_999_999_999},
    ],
    ids=str,
)
async def test_an_id_token_with_one_wrong_claim_is_refused(
    oauth: OAuth, oauth_provider: Provider, wrong: dict[str, Any]
) -> None:
    answer = await consented(oauth, oauth_provider)
    said = {name: value for name, value in (claims(oauth_provider, answer) | wrong).items() if value is not None}

    with pytest.raises(ProviderMisfit):
        await exchanged_for(oauth, oauth_provider, answer, jwt.encode({"alg": "ES256", "kid": "ours"}, said, KEY))


async def test_several_audiences_are_taken_where_we_are_the_one_that_asked(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    answer = await consented(oauth, oauth_provider)
    said = claims(oauth_provider, answer) | {"aud": ["basic", "post"], "azp": "basic"}
    token = jwt.encode({"alg": "ES256", "kid": "ours"}, said, KEY)

    await exchanged_for(oauth, oauth_provider, answer, token)


@pytest.mark.parametrize("how", ["the public key as a shared secret", "another key", "no signature"])
async def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    oauth: OAuth, oauth_provider: Provider, how: str
) -> None:
    answer = await consented(oauth, oauth_provider)
    said = claims(oauth_provider, answer)
    match how:
        case "another key":
            token = jwt.encode({"alg": "ES256", "kid": "ours"}, said, ECKey.generate_key("P-256"))
        case "no signature":
            signed = jwt.encode({"alg": "ES256", "kid": "ours"}, said, KEY)
            token = ".".join(["eyJhbGciOiJub25lIn0", signed.split(".")[1], ""])
        case _:
            secret = OctKey.import_key(KEY.as_pem(private=False).hex())
            token = jwt.encode({"alg": "HS256", "kid": "ours"}, said, secret, algorithms=["HS256"])

    with pytest.raises(ProviderMisfit, match="does not hold"):
        await exchanged_for(oauth, oauth_provider, answer, token)


async def test_an_id_token_that_is_deeper_than_anybody_means_it_is_refused(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    answer = await consented(oauth, oauth_provider)
    payload = '{"more": ' + "[" * 5_000 + "]" * 5_000 + "}"
    token = serialize_compact({"alg": "ES256", "kid": "ours"}, payload, KEY)

    with pytest.raises(ProviderMisfit, match="does not hold"):
        await exchanged_for(oauth, oauth_provider, answer, token)


@pytest.mark.parametrize("keys", [{"keys": []}, {"keys": None}, {"keys": [{}]}, {"keys": "x"}, {"keys": [7]}], ids=str)
async def test_keys_that_cannot_be_read_open_nothing(
    oauth: OAuth, oauth_provider: Provider, keys: dict[str, Any]
) -> None:
    answer = await consented(oauth, oauth_provider)
    await oauth_provider.issuer.patch("/jwks", keys)

    with pytest.raises(ProviderMisfit):
        await oauth.exchange(ours(oauth_provider.issuer, resource=None), answer, SCOPES)


async def test_keys_that_cannot_be_had_open_nothing_and_the_code_is_spent(
    oauth: OAuth, oauth_provider: Provider
) -> None:
    answer = await consented(oauth, oauth_provider)
    await oauth_provider.issuer.answer("/jwks", 503, "")

    with pytest.raises(ProviderUnavailable) as lost:
        await oauth.exchange(ours(oauth_provider.issuer, resource=None), answer, SCOPES)

    assert lost.value.may_have_happened
