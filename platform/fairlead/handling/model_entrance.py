"""What an attempt to ask a model passes before it is sent: the breaker of its provider, and the limits of rate and of
calls at once, across processes."""

from typing import Any, Literal, Protocol

from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.models.failures import FailureClass, Window

HeldBy = Literal["outage", "rate", "concurrency"]


class Counter(Struct, frozen=True, kw_only=True):
    """Which account of which provider is asked, where. `connection` is its name; empty: the only one there."""

    tenant_id: TenantId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    provider: str
    connection: str = ""


class Held(Struct, frozen=True, kw_only=True):
    """Not now, and perhaps somebody else."""

    held_for: HeldBy
    subject: str
    wait_s: float


class Ended(Struct, frozen=True, kw_only=True):
    """What became of an attempt. `error_class` None: it was answered. `windows` are the limits that the answer told."""

    error_class: FailureClass | None = None
    code: str = ""
    windows: tuple[Window, ...] = ()
    retry_after_s: float | None = None


class Entered(Struct, frozen=True):
    """Go on; and leave afterwards, whatever came of it."""

    counter: Counter
    passed: Any


class Entrance(Protocol):
    """One for each process."""

    async def closed_for_s(self, counter: Counter) -> float | None:
        """None: calls are made. 0: nobody answered of late, and one call may find out whether somebody does again;
        more: not before that. Raises Unavailable."""

    async def enter(self, counter: Counter, timeout_s: float) -> Entered | Held:
        """Raises Unavailable."""

    async def leave(self, entered: Entered, ended: Ended | None) -> None:
        """`ended` None: nothing was sent after all."""
