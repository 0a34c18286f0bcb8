"""Write a connector: a manifest of typed tools, and the errors that say what to do next."""

from fairlead_sdk.contract import Call, Connector, Effect, Idempotency, Manifest, Tool, tool
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, TryLater
from fairlead_sdk.hookspecs import ENTRY_POINT_GROUP, hookimpl

__all__ = [
    "ENTRY_POINT_GROUP",
    "BadArguments",
    "Call",
    "Connector",
    "Effect",
    "Idempotency",
    "Manifest",
    "NeedsReconnect",
    "OutcomeUnknown",
    "Refused",
    "Tool",
    "TryLater",
    "hookimpl",
    "tool",
]
