"""Models behind any server that speaks like OpenAI's chat completions."""

from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest, ModelService, Wire, hookimpl
from fairlead_sdk.hookspecs import Register


class OpenAICompatibleConnector:
    """A connection is one server: its address, up to and with `/v1`, and a key."""

    manifest = Manifest(
        name="openai_compatible",
        title="Models by chat completions",
        version="1.0.0",
        tools=(),
        auth=Auth(kind=AuthKind.API_KEY),
        egress=("{base_url}",),
        config=(ConfigField(name="base_url", title="Address of the server, like https://models.example/v1"),),
        models=ModelService(wire=Wire.OPENAI_CHAT, base_url="{base_url}"),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(OpenAICompatibleConnector())
