"""Events as the outside sees them: in timelines, live streams and exports. Each is shown exactly as it was recorded."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fairlead_ledger.rows import EXPIRED
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from fairlead.domain.codec import tags_of
from fairlead.domain.envelope import Actor, position
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events import CompensationEnded, CompensationPlanned, RunEnding

Stream = Literal["run", "approval"]
ENDINGS = frozenset(tags_of(RunEnding))
PLANS_UNDOING, ENDS_UNDOING = tags_of(CompensationPlanned | CompensationEnded)


class Place(Struct, frozen=True, order=True):
    """Where an event is on the log. Orders all events of a tenant."""

    sequence: int
    index: int


START = Place(0, -1)  # before everything


class Seal(Struct, frozen=True, kw_only=True):
    """What the ledger holds instead of a value: HMAC-SHA-256 of its canonical JSON under `key`, which is in base64url,
    and null where the value was erased, or is masked."""

    commitment: str
    key: str | None


class TimelineEvent(Struct, frozen=True, kw_only=True):
    """One fact. `version` numbers the events of its stream from 1; a run's state can be had as of each of its own."""

    position: Annotated[str, Meta(description="Place on the log, and the cursor to go on from.")]
    run_id: str
    stream: Stream
    stream_id: Annotated[str, Meta(description="The run, or the approval whose event it is.")]
    version: int
    type: str
    at: Instant
    actor: Actor
    commit_id: Annotated[str, Meta(description="Events of one decision share it.")]
    causation_id: str | None
    correlation_id: str | None
    trace_parent: str | None
    data: Annotated[Any, Meta(description="The event as it was recorded.")]
    sealed: Annotated[
        dict[str, Seal] | UnsetType,
        Meta(description="In exports: what is sealed on the log, by JSON pointer into `data`."),
    ] = UNSET


class CommitRow(Struct, frozen=True):
    """A row of run_commits. `opened` is the body with its content in the clear, where it holds any; `seals` are by the
    number of the event and the pointer into it. Of a commit that has expired, `body` is the leaf of the ledger."""

    run_id: str
    sequence: int
    at: datetime
    body: str
    expired_at: datetime | None = None
    opened: str = ""
    seals: tuple[tuple[int, str, Seal], ...] = ()

    @property
    def plain(self) -> str:
        return self.opened or self.body


class _Commit(Struct, frozen=True):
    """What the log holds, as far as it is looked into: the events stay as they are."""

    commit_id: str
    kind: Stream
    stream_id: str
    first_version: int
    at: Instant
    actor: Actor
    events: tuple[Raw, ...] = ()
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_parent: str | None = None


class _Typed(Struct, frozen=True):
    type: str


class _Leaf(Struct, frozen=True):
    commit: _Commit
    events: tuple[str, ...]


_commit = msgspec.json.Decoder(_Commit).decode
_leaf = msgspec.json.Decoder(_Leaf).decode
_typed = msgspec.json.Decoder(_Typed).decode


def events_of(row: CommitRow, after: Place = START, *, checkable: bool = False) -> Iterator[TimelineEvent]:
    """The commit's events past `after`. `checkable`: with what it takes to check content against the ledger."""
    if row.expired_at is not None:
        yield from _expired(row, row.expired_at, after)
        return
    commit = _commit(row.plain)
    for index, recorded in enumerate(commit.events):
        if row.sequence > after.sequence or index > after.index:
            yield TimelineEvent(
                position=position(row.sequence, index),
                run_id=row.run_id,
                stream=commit.kind,
                stream_id=commit.stream_id,
                version=commit.first_version + index,
                type=_typed(recorded).type,
                at=commit.at,
                actor=commit.actor,
                commit_id=commit.commit_id,
                causation_id=commit.causation_id,
                correlation_id=commit.correlation_id,
                trace_parent=commit.trace_parent,
                data=recorded,
                sealed=_seals(row, index) if checkable else UNSET,
            )


def _expired(row: CommitRow, at: datetime, after: Place) -> Iterator[TimelineEvent]:
    """Each event as far as the ledger still knows it: everything but what it said, of which it has the hash."""
    leaf = _leaf(row.body)
    commit = leaf.commit
    for index, sha256 in enumerate(leaf.events):
        if row.sequence > after.sequence or index > after.index:
            yield TimelineEvent(
                position=position(row.sequence, index),
                run_id=row.run_id,
                stream=commit.kind,
                stream_id=commit.stream_id,
                version=commit.first_version + index,
                type=EXPIRED,
                at=commit.at,
                actor=commit.actor,
                commit_id=commit.commit_id,
                causation_id=commit.causation_id,
                correlation_id=commit.correlation_id,
                trace_parent=commit.trace_parent,
                data=Raw(msgspec.json.encode({"type": EXPIRED, "sha256": sha256, "expired_at": at})),
            )


def _seals(row: CommitRow, index: int) -> dict[str, Seal] | UnsetType:
    return {pointer: seal for number, pointer, seal in row.seals if number == index} or UNSET


def is_last(types: Sequence[str]) -> bool:
    """Whether a commit of these events is a run's last as far as it knows: it has ended, and has nothing to undo."""
    return ENDS_UNDOING in types or (PLANS_UNDOING not in types and any(each in ENDINGS for each in types))


def place_of(text: str, parameter: str = "after") -> Place:
    """The place that `position` wrote. Raises Invalid, naming the parameter."""
    sequence, _, index = text.partition("-")
    if not (_is_count(sequence) and _is_count(index)):
        wrong = Problem(path=f"/{parameter}", message="must be the position of an event, like 4711-0", code="position")
        raise Invalid([wrong], "no such position")
    return Place(int(sequence), int(index))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
