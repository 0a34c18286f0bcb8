"""A counterpart that takes its time, without another process that would share the cores."""

import asyncio

from fairlead_sdk import Call, Effect, Idempotency, Manifest, hookimpl, tool
from fairlead_sdk.hookspecs import Register
from msgspec import Struct

TAKES_S = 0.1


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str


@tool("slow.echo", title="Echo later", effect=Effect.READ, idempotency=Idempotency.NATURAL)
async def echo(arguments: Text, call: Call) -> Text:  # noqa: ARG001  # every tool is given its call
    """Return the text that was given, after a tenth of a second."""
    await asyncio.sleep(TAKES_S)
    return arguments


class SlowConnector:
    manifest = Manifest(name="slow", title="Slow", version="1.0.0", tools=(echo,))


@hookimpl
def register_connectors(register: Register) -> None:
    register(SlowConnector())
