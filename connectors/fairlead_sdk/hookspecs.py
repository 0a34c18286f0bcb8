"""How connectors are found: an entry point in the group below, whose module implements this hook."""

from collections.abc import Callable

import pluggy

from fairlead_sdk.contract import Connector

ENTRY_POINT_GROUP = "fairlead.connectors"
hookspec = pluggy.HookspecMarker("fairlead")
hookimpl = pluggy.HookimplMarker("fairlead")

Register = Callable[[Connector], None]


@hookspec
def register_connectors(register: Register) -> None:
    """Call `register(connector)` once; its name is the entry point's. No event loop yet: build, open nothing."""
