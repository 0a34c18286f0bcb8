"""Which of what an issuer says of itself is believed."""

from typing import Any

import msgspec
import pytest
from fairlead_sdk.outbound import HttpAnswer

from fairlead.adapters.oauth.discovery import trusted, well_known
from fairlead.domain.connections.errors import ProviderMisfit

ISSUER = "https://id.test/tenant"
ENDPOINTS = ("authorization", "token", "revocation", "device_authorization")


def metadata(**fields: Any) -> HttpAnswer:
    return HttpAnswer(status=200, headers={}, body=msgspec.json.encode({"issuer": ISSUER, **fields}))


@pytest.mark.parametrize("issuer", [ISSUER, f"{ISSUER}/"])
def test_the_path_of_an_issuer_is_behind_or_in_front(issuer: str) -> None:
    assert well_known(issuer) == (
        "https://id.test/.well-known/oauth-authorization-server/tenant",
        "https://id.test/tenant/.well-known/openid-configuration",
    )


@pytest.mark.parametrize("other", ["https://id.test/tenant/", "https://ID.test/tenant", "https://id.test", ""])
def test_an_issuer_is_the_same_letter_by_letter_or_not_at_all(other: str) -> None:
    with pytest.raises(ProviderMisfit, match="another issuer"):
        trusted(metadata(issuer=other), ISSUER)


@pytest.mark.parametrize("name", [*(f"{what}_endpoint" for what in ENDPOINTS), "jwks_uri"])
@pytest.mark.parametrize("address", ["http://id.test/x", "javascript:x", "//id.test/x", "x"])
def test_an_issuer_with_tls_does_not_lead_to_an_endpoint_without(name: str, address: str) -> None:
    with pytest.raises(ProviderMisfit, match="has no TLS"):
        trusted(metadata(**{name: address}), ISSUER)


def test_what_is_not_said_means_what_the_standard_says() -> None:
    says = trusted(metadata(token_endpoint="https://id.test/token"), ISSUER)

    assert says.token_endpoint_auth_methods_supported == ("client_secret_basic",)
    assert says.code_challenge_methods_supported is None
    assert not says.authorization_response_iss_parameter_supported
