"""What is removed because nobody keeps it any longer. Each expiry is a stream: it says what goes before anything does.

A run goes in steps that can each be done again: named here, closed by an event at the end of its own stream, out of the
read models, out of the log, out of the ledger's bodies.
"""

from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.instant import Instant


class ExpiringRun(Struct, frozen=True, kw_only=True):
    """`sequences` are the places of its commits and of its approvals', in order; `last_sequence` is that of its own
    last one. `last_leaf` is the hash that the ledger has of the last of all."""

    run_id: RunId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: WorkflowId
    ended_at: Instant
    events: int
    last_sequence: int
    last_leaf: str
    sequences: tuple[int, ...]


class ExpiryOfRunsBegun(Event, frozen=True, kw_only=True, tag="expiry.runs_begun.v1"):
    """These runs ended before `ended_before`, and none of them was held by then."""

    ended_before: Instant
    runs: tuple[ExpiringRun, ...]


class ExpiryOfAccessesBegun(Event, frozen=True, kw_only=True, tag="expiry.accesses_begun.v1"):
    """These records of accesses are from before `made_before`: their commits, by place."""

    made_before: Instant
    sequences: tuple[int, ...]


class ExpiryOfObjectsBegun(Event, frozen=True, kw_only=True, tag="expiry.objects_begun.v1"):
    """These objects of the store were last written before `stored_before`. A version says nothing of key or content."""

    stored_before: Instant
    versions: tuple[str, ...]


class ExpiryOfLeavesBegun(Event, frozen=True, kw_only=True, tag="expiry.leaves_begun.v1"):
    """These commits are from before `made_before`, and their content has expired: their leaves go from the ledger, by
    place on the log. The nodes stay that proofs of all other leaves are made of."""

    made_before: Instant
    sequences: tuple[int, ...]


ExpiryEvent = ExpiryOfRunsBegun | ExpiryOfAccessesBegun | ExpiryOfObjectsBegun | ExpiryOfLeavesBegun


class BeginExpiry(Struct, frozen=True, kw_only=True):
    what: ExpiryEvent


class NotBegun(Struct, frozen=True):
    pass


class Begun(Struct, frozen=True):
    what: ExpiryEvent


ExpiryState = NotBegun | Begun


def stream_of(tenant_id: TenantId, expiry_id: str) -> StreamRef:
    return StreamRef(tenant_id, "expiry", expiry_id)


def initial() -> ExpiryState:
    return NotBegun()


def decide(command: BeginExpiry, state: ExpiryState) -> list[ExpiryEvent]:
    return [] if isinstance(state, Begun) else [command.what]


def evolve(_: ExpiryState, event: ExpiryEvent) -> ExpiryState:
    return Begun(event)
