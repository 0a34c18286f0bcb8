"""The right to make calls for one run: what an order carries, and what a worker demands of it.

The mark at its end is made with a key of the installation (`handling/capabilities.py`), so nobody without that key can
widen a right, lend it to another run, or make one up.
"""

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant


class NotEntitled(FairleadError):
    """The order does not carry the right to what it asks for. Nothing is done and nothing recorded."""

    code = "not_entitled"


class Capability(Struct, frozen=True, kw_only=True, array_like=True):
    """For this run alone: calls of these tools, as long as it has made no more than `max_calls`, and of models, up to
    `max_model_calls`, until `expires_at`."""

    tenant_id: TenantId
    run_id: RunId
    tools: tuple[str, ...]
    max_calls: int
    expires_at: Instant
    key_id: str = ""
    mark: str = ""
    max_model_calls: int = 0


def hold_to(capability: Capability | None, tool: str, calls_used: int) -> None:
    """Before a tool is touched. Raises NotEntitled."""
    if capability is None:
        raise NotEntitled("the order carries no right")
    if tool not in capability.tools:
        raise NotEntitled(f"the right does not cover {tool}")
    if calls_used > capability.max_calls:
        raise NotEntitled(f"the right covers {capability.max_calls} calls")


def hold_to_models(capability: Capability | None, calls_used: int) -> None:
    """Before a model is asked. Raises NotEntitled."""
    if capability is None:
        raise NotEntitled("the order carries no right")
    if calls_used > capability.max_model_calls:
        raise NotEntitled(f"the right covers {capability.max_model_calls} calls of models")
