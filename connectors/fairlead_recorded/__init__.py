"""Answers that models gave once, found again by exactly what was asked. Nothing is sent anywhere."""

from fairlead_sdk import Manifest, ModelService, Wire, hookimpl
from fairlead_sdk.hookspecs import Register


class RecordedConnector:
    """Whatever model is named is found if its answer was recorded. The address is one that nobody can have."""

    manifest = Manifest(
        name="recorded",
        title="Recorded answers of models",
        version="1.0.0",
        tools=(),
        egress=("recorded.invalid",),
        models=ModelService(wire=Wire.OPENAI_CHAT, base_url="https://recorded.invalid/v1"),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(RecordedConnector())
