"""Tools without a counterpart: what a first workflow, a test and a benchmark call."""

from typing import Annotated

from fairlead_sdk import Call, Effect, Idempotency, Manifest, hookimpl, tool
from fairlead_sdk.hookspecs import Register
from msgspec import Meta, Struct

MAX_TEXT = 10_000


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=MAX_TEXT)]


@tool("basics.echo", title="Echo", effect=Effect.READ, idempotency=Idempotency.NATURAL)
async def echo(arguments: Text, call: Call) -> Text:  # noqa: ARG001 every tool is given its call
    """Return the text that was given."""
    return arguments


class BasicsConnector:
    manifest = Manifest(name="basics", title="Basics", version="1.0.0", tools=(echo,))


@hookimpl
def register_connectors(register: Register) -> None:
    register(BasicsConnector())
