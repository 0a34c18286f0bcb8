"""What a connector must say of the models that it serves."""

from typing import Any

import pytest
from fairlead_sdk.auth import NO_AUTH, Auth, AuthKind
from fairlead_sdk.checks import faults_of
from fairlead_sdk.description import described, description_of, plain
from fairlead_sdk.models import Model, ModelService, ModelTimes, Wire
from msgspec.structs import replace

from fairlead_anthropic import AnthropicConnector
from fairlead_openai_compatible import OpenAICompatibleConnector

SHIPPED = [AnthropicConnector.manifest, OpenAICompatibleConnector.manifest]
MODEL = Model(name="m", context_tokens=9, max_output_tokens=3)


@pytest.mark.parametrize("manifest", SHIPPED, ids=lambda manifest: manifest.name)
def test_what_ships_is_in_order_and_can_be_published_as_data(manifest: Any) -> None:
    assert faults_of(manifest, shipped=True) == []
    assert description_of(plain(described(manifest))).models == manifest.models


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "http://api.anthropic.com"},
        {"base_url": "https://api.example.com"},
        {"base_url": "{base_url}"},
        {"base_url": "https://{region}.anthropic.com"},
        {"models": (MODEL, MODEL)},
        {"models": (replace(MODEL, max_output_tokens=0),)},
        {"max_tokens_field": "n"},
        {"times": ModelTimes(first_token_s=float("inf"))},
        {"wire": "telegraph"},
    ],
)
def test_a_service_that_cannot_be_asked_is_refused(changed: dict[str, Any]) -> None:
    service = AnthropicConnector.manifest.models
    assert service is not None
    manifest = replace(AnthropicConnector.manifest, models=replace(service, **changed))
    assert {fault.code for fault in faults_of(manifest)} == {"models"}


@pytest.mark.parametrize("auth", [Auth(kind=AuthKind.BASIC), Auth(kind=AuthKind.API_KEY, handed_over=True)])
def test_a_key_goes_out_only_as_a_header_or_a_parameter_that_we_add(auth: Auth) -> None:
    assert "models" in {
        fault.code for fault in faults_of(replace(AnthropicConnector.manifest, auth=auth), shipped=True)
    }


def test_a_server_of_ones_own_may_have_no_key() -> None:
    service = ModelService(wire=Wire.OPENAI_CHAT, base_url="https://models.example/v1", models=(MODEL,))
    manifest = replace(AnthropicConnector.manifest, auth=NO_AUTH, egress=("models.example",), models=service)
    assert faults_of(manifest) == []
