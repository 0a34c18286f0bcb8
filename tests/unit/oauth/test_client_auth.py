"""How we prove which client we are, by what we have and by what the provider takes."""

import base64
import json
from typing import Any

import pytest
from fairlead_sdk.auth import OAuthServer
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from fairlead.adapters.oauth.client_auth import proof
from fairlead.adapters.oauth.discovery import Metadata
from fairlead.domain.connections.errors import ProviderMisfit
from fairlead.domain.connections.grants import OAuthClient
from tests.support.clock import T0

AUDIENCE = "https://id.test"
ED25519, P256 = OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")


def client(**rest: Any) -> OAuthClient:
    return OAuthClient(server=OAuthServer(issuer=AUDIENCE), client_id="a:client", **rest)


def says(*methods: str) -> Metadata:
    return Metadata(issuer=AUDIENCE, token_endpoint_auth_methods_supported=methods)


def test_a_secret_goes_into_the_header_with_both_parts_encoded() -> None:
    given = proof(client(client_secret="a b:%ä"), None, AUDIENCE, T0)

    scheme, _, pair = given.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair) == b"a%3Aclient:a+b%3A%25%C3%A4"
    assert given.fields == {}
    assert repr(given) == "Proof(…)"


def test_a_secret_goes_into_the_form_where_the_provider_takes_it_there_only() -> None:
    given = proof(client(client_secret="s"), says("client_secret_post", "private_key_jwt"), AUDIENCE, T0)

    assert given.fields == {"client_id": "a:client", "client_secret": "s"}
    assert given.headers == {}


def test_a_secret_is_not_sent_to_a_provider_that_takes_none() -> None:
    with pytest.raises(ProviderMisfit):
        proof(client(client_secret="s"), says("private_key_jwt", "none"), AUDIENCE, T0)


def test_a_public_client_only_says_its_name() -> None:
    given = proof(client(), says("none"), AUDIENCE, T0)

    assert (given.fields, given.headers) == ({"client_id": "a:client"}, {})


@pytest.mark.parametrize(("key", "algorithm"), [(ED25519, "Ed25519"), (P256, "ES256")], ids=["ed25519", "p-256"])
@pytest.mark.parametrize("as_pem", [False, True], ids=["jwk", "pem"])
def test_a_client_with_a_key_signs_for_a_minute_and_for_this_provider(
    key: OKPKey | ECKey, algorithm: str, as_pem: bool
) -> None:
    text = key.as_pem(private=True).decode() if as_pem else json.dumps(key.as_dict(private=True))

    given = proof(client(private_key=text, client_secret="unused"), says(), AUDIENCE, T0)

    token = jwt.decode(given.fields["client_assertion"], key, algorithms=[algorithm])
    assert token.header["alg"] == algorithm
    assert token.claims["iss"] == token.claims["sub"] == "a:client"
    assert token.claims["aud"] == AUDIENCE
    assert token.claims["iat"] == int(T0.timestamp())
    assert token.claims["exp"] == int(T0.timestamp()) + 60
    assert len(token.claims["jti"]) >= 32
    assert "client_secret" not in given.fields


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        "{",
        "{}",
        json.dumps(OctKey.generate_key(256).as_dict(private=True)),
        json.dumps(ED25519.as_dict(private=False)),
        json.dumps(ECKey.generate_key("P-384").as_dict(private=True)),
        RSAKey.generate_key(2048).as_pem(private=True).decode(),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
    ids=["empty", "words", "half", "object", "symmetric", "public", "p-384", "rsa", "broken"],
)
def test_other_keys_are_refused_without_a_word_of_them(text: str) -> None:
    with pytest.raises(ProviderMisfit) as refused:
        proof(client(private_key=text), None, AUDIENCE, T0)

    assert refused.value.__cause__ is None
    assert len(str(refused.value)) < 60
