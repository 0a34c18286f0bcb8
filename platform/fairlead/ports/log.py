"""The truth, and those who follow it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Commit, Kind, Recorded, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.sealing import Marks

AnyCommit = Commit[Any]
AnyRecorded = Recorded[Any]
Followed = AnyRecorded | Unreadable  # a reader of many streams is not stopped by what it cannot read


@runtime_checkable
class Log(Protocol):
    """The truth. Every method raises Unavailable when the engine does not answer."""

    async def append(
        self, commit: AnyCommit, expected: LogSequence, subject: str = "", marks: Marks | None = None
    ) -> LogSequence:
        """Store the commit if the stream's last commit is at `expected` (0: the stream is empty). Its content is sealed
        under the key of the data subject, see `ContentKeys`, together with which places `marks` calls sensitive.

        Durable when it returns. Retries an unknown answer by itself under the same commit id, so one call makes
        at most one commit. Raises StreamMoved when the stream's last commit is elsewhere, and when a commit of that id
        is there with other content: whoever decided on an older state must not take its facts for what happened.
        """

    async def read(self, stream: StreamRef, after: LogSequence = LogSequence(0)) -> list[AnyRecorded]:
        """Commits of one stream past `after`, oldest first, in one round trip (strongly consistent).

        Raises UnreadableCommit when one of them cannot be read.
        """

    async def heads(self, streams: Sequence[StreamRef]) -> list[LogSequence]:
        """Sequence of the last commit of each stream, 0 where there is none, in one round trip."""

    def follow(
        self,
        after: LogSequence,
        kinds: Sequence[Kind] = (),
        max_batch: int = 500,
        tenants: Sequence[TenantId] = (),
        in_bursts: bool = False,
    ) -> AbstractAsyncContextManager["Batches"]:
        """Every commit past `after` in log order, then new ones as they come. Keeps no position: the caller does.

        Of these kinds and tenants alone, where some are named. `in_bursts` is for a caller that pauses between batches:
        what comes meanwhile is handed over together when it asks, which costs less than handing over each by itself.
        """

    def share(
        self, group: str, kinds: Sequence[Kind] = (), max_batch: int = 100
    ) -> AbstractAsyncContextManager["Shares"]:
        """Commits by partition, shared among all processes that share `group`.

        One process holds a partition at a time; order within a stream is kept; when the holder dies another
        takes over from the last acknowledged commit. Delivery is at least once.
        """

    async def last_sequence(self) -> LogSequence:
        """Sequence of the newest commit of all, 0 for an empty log."""


class Copy(Struct, frozen=True, kw_only=True):
    """A commit as the engine keeps it, whatever is in it. `body` is the commit. Where that lay as a blob, `claimed`, it
    has been fetched; where it could not be, or is not what was written, `body` is the message that names it."""

    sequence: LogSequence
    stream: StreamRef
    message_id: str
    headers: bytes
    body: bytes
    claimed: bool


class CopyBatches(Protocol):
    def __aiter__(self) -> AsyncIterator[list[Copy]]:
        """As `Batches`."""


@runtime_checkable
class LogCopies(Protocol):
    """The log for whoever keeps a second one. Every method raises Unavailable when the engine does not answer."""

    def copies(self, after: LogSequence, max_batch: int = 500) -> AbstractAsyncContextManager[CopyBatches]:
        """As `Log.follow` in bursts, without reading what is in a commit."""

    async def copy_of(self, sequence: LogSequence) -> Copy | None:
        """The commit at this place; None where there is none, or none any more."""

    async def last_sequence(self) -> LogSequence: ...


@runtime_checkable
class LogRemoval(Protocol):
    """Takes commits off the log for good, bytes and all. Whoever does it has said so on the log before, and the ledger
    has them. Both methods raise Unavailable; what is gone already is no fault."""

    async def remove(self, sequence: LogSequence) -> None:
        """The commit at this place. No other gets its number."""

    async def remove_blob(self, tenant_id: TenantId, sha256: str) -> None:
        """The body of a commit that was too large for a message, by its hash in hex."""


class Batches(Protocol):
    def __aiter__(self) -> AsyncIterator[list[Followed]]:
        """Non-empty batches, in order. An empty list is yielded once each time the reader has caught up."""


class Delivery(Protocol):
    """Commits of one partition, in order."""

    partition: int
    recorded: Sequence[Followed]

    async def ack(self) -> None:
        """All of this delivery is dealt with."""

    async def nack(self, delay_s: float) -> None:
        """None of this delivery is dealt with: hand it over again after the delay."""


class Shares(Protocol):
    def __aiter__(self) -> AsyncIterator[Delivery]: ...
