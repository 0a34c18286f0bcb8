"""A connector of somebody else's in several versions, as its author packs it: what it answers says which it is."""

from types import ModuleType
from typing import Any

from fairlead_sdk.contract import Manifest

from tests.support.packages import KEY, package_of

NAME = "greeter"
_MODULE = f"{NAME}_connector"
_SOURCE = '''
from fairlead_sdk import Call, Effect, Idempotency, Manifest, hookimpl, tool
from msgspec import Struct


class Whom(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class Greeting(Struct, frozen=True, forbid_unknown_fields=True):
    text: str


@tool("greeter.look_up", title="Look up a greeting", effect=Effect.READ, idempotency=Idempotency.NATURAL)
async def look_up(arguments: Whom, call: Call) -> Greeting:
    """Look up how somebody is greeted."""
    return Greeting(f"VERSION greets {arguments.name}")


class GreeterConnector:
    manifest = Manifest(name="greeter", title="Greeter", version="VERSION", tools=(look_up,))


@hookimpl
def register_connectors(register):
    register(GreeterConnector())
'''


def greeter(version: str, said_version: str | None = None, key: Any = KEY) -> bytes:
    """`said_version`: what its manifest claims is signed, where that is not what its code says."""
    source = _SOURCE.replace("VERSION", version)
    return package_of(_manifest(said_version or version), {f"{_MODULE}/__init__.py": source.encode()}, key)


def _manifest(version: str) -> Manifest:
    module = ModuleType(_MODULE)
    exec(compile(_SOURCE.replace("VERSION", version), _MODULE, "exec"), module.__dict__)
    found: Manifest = module.__dict__["GreeterConnector"].manifest
    return found
