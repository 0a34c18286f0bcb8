"""What surrounds events on the log: one commit is the events of one decision, and one message.

A commit is atomic because it is one message. Its position in the log is the stream sequence the engine gave it;
an event's position adds its index in the commit, so `(sequence, index)` orders everything of a tenant.
"""

import hashlib
from typing import Generic, Literal, NewType, TypeVar

from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct

from fairlead.domain.ids import CommandId
from fairlead.domain.instant import Instant

PARTITIONS = 16  # permanent: a stream's partition is part of its subject
MAX_COMMIT_BYTES = 8 * 1024 * 1024
CLAIM_CHECK_BYTES = 64 * 1024  # larger commits travel as a blob and a reference

Kind = Literal[
    "tenant",
    "workflow",
    "run",
    "approval",
    "breaker",
    "connection",
    "connection_use",
    "oauth_client",
    "connector",
    "toolset",
    "webhook",
    "switch",
    "policy",
    "prompt",
    "tally",
    "access",
    "case",
    "erasure",
    "retention",
    "budget",
    "expiry",
    "route",
    "residency",
    "prices",
]
Sequence = NewType("Sequence", int)  # place of a commit in the log, from 1; 0 is "before everything"


class Event(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """A fact. Subclasses repeat `frozen=True, kw_only=True` and give a permanent `tag`."""


E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)


class Actor(Struct, frozen=True, kw_only=True):
    """Who caused a decision. `system` is the platform itself (a timer, a process manager)."""

    kind: Literal["person", "service_account", "agent", "system"]
    id: PrincipalId


SYSTEM = Actor(kind="system", id=PrincipalId("system"))


class StreamRef(Struct, frozen=True):
    """The history of one aggregate of one tenant."""

    tenant_id: TenantId
    kind: Kind
    id: str

    @property
    def partition(self) -> int:
        """Stable forever: the low bits of SHA-256 over tenant and stream id."""
        digest = hashlib.sha256(f"{self.tenant_id}/{self.id}".encode()).digest()
        return digest[-1] % PARTITIONS


class Commit(Struct, Generic[E], frozen=True, kw_only=True):
    """The events of one decision and who, when and why.

    `commit_id` is the command's id: appending the same command twice leaves one commit.
    `first_version` numbers the first event within its stream, from 1.
    `causation_id` names what was reacted to (a position or a command id), `correlation_id` what it all belongs to.
    `trace_parent` is the W3C trace context in force when the decision was taken.
    """

    commit_id: CommandId
    tenant_id: TenantId
    kind: Kind
    stream_id: str
    first_version: int
    at: Instant
    actor: Actor
    events: tuple[E, ...]
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_parent: str | None = None

    @property
    def stream(self) -> StreamRef:
        return StreamRef(self.tenant_id, self.kind, self.stream_id)

    @property
    def last_version(self) -> int:
        return self.first_version + len(self.events) - 1


class Recorded(Struct, Generic[E], frozen=True):
    """A commit that is on the log. `body` is the exact JSON that was stored (after claim check), `opened` the same with
    its content as far as the reader may see it, where that is other."""

    sequence: Sequence
    commit: Commit[E]
    body: bytes
    opened: bytes = b""

    @property
    def plain(self) -> bytes:
        """To show: with content in the clear for a reader who has the keys."""
        return self.opened or self.body

    @property
    def stream(self) -> StreamRef:
        return self.commit.stream


def position(sequence: int, index: int) -> str:
    """Public form of an event's place, `<sequence>-<index>`: the SSE id and the cursor of a timeline."""
    return f"{sequence}-{index}"
