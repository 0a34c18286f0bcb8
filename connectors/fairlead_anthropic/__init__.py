"""Models of Anthropic, by the messages API."""

from fairlead_sdk import Auth, AuthKind, Manifest, ModelService, Wire, hookimpl
from fairlead_sdk.hookspecs import Register


class AnthropicConnector:
    """A connection is one key. It has no tools: what it is for is to be thought with."""

    manifest = Manifest(
        name="anthropic",
        title="Anthropic",
        version="1.0.0",
        tools=(),
        auth=Auth(kind=AuthKind.API_KEY, header="x-api-key", prefix=""),
        egress=("api.anthropic.com",),
        models=ModelService(
            wire=Wire.ANTHROPIC_MESSAGES,
            base_url="https://api.anthropic.com",
            headers=(("anthropic-version", "2023-06-01"),),
        ),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(AnthropicConnector())
