"""What a webhook is told of an event: the event as timelines show it, in the envelope of Standard Webhooks."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from fairlead.domain.envelope import Actor, Kind, Recorded, position
from fairlead.domain.ids import parent_id
from fairlead.domain.instant import Instant

MAX_BODY_BYTES = 256 * 1024

# Of no use to anybody outside, and better not there.
HIDDEN: Mapping[str, tuple[str, ...]] = {"tenant.key_issued.v1": ("hash",), "tenant.key_rotated.v1": ("hash",)}

_encode = msgspec.json.Encoder().encode


class _Committed(Struct, frozen=True):
    """What the log holds, as far as it is looked into: the events stay as they are."""

    commit_id: str
    kind: Kind
    stream_id: str
    first_version: int
    at: Instant
    actor: Actor
    events: tuple[Raw, ...]
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_parent: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """The same as an event of a timeline. `run_id` is null for what belongs to no run.

    `data` is null for an event that is too large to be sent; `data_bytes` says how large, and the timeline has it.
    """

    position: str
    run_id: str | None
    stream: Kind
    stream_id: str
    version: int
    type: str
    at: Instant
    actor: Actor
    commit_id: str
    causation_id: str | None
    correlation_id: str | None
    trace_parent: str | None
    data: Any


class TooLarge(Told, frozen=True, kw_only=True):
    data_bytes: int


class Body(Struct, frozen=True, kw_only=True):
    """As Standard Webhooks has it."""

    type: str
    timestamp: Instant
    data: Told


class _Typed(Struct, frozen=True):
    type: str


_committed = msgspec.json.Decoder(_Committed).decode
_typed = msgspec.json.Decoder(_Typed).decode


def tags_in(recorded: Recorded[Any]) -> list[str]:
    """As they were recorded, in order."""
    return [_typed(event).type for event in _committed(recorded.plain).events]


def run_of(kind: Kind, stream_id: str) -> str | None:
    """The run that a stream's events belong to."""
    match kind:
        case "run":
            return stream_id
        case "approval":
            return parent_id("run", stream_id)
        case _:
            return None


def body_of(recorded: Recorded[Any], index: int) -> bytes:
    """The event number `index` of the commit, at most MAX_BODY_BYTES."""
    commit = _committed(recorded.plain)
    event = commit.events[index]
    tag = _typed(event).type
    told = Told(
        position=position(recorded.sequence, index),
        run_id=run_of(commit.kind, commit.stream_id),
        stream=commit.kind,
        stream_id=commit.stream_id,
        version=commit.first_version + index,
        type=tag,
        at=commit.at,
        actor=commit.actor,
        commit_id=commit.commit_id,
        causation_id=commit.causation_id,
        correlation_id=commit.correlation_id,
        trace_parent=commit.trace_parent,
        data=_shown(tag, event),
    )
    body = _encode(Body(type=tag, timestamp=commit.at, data=told))
    if len(body) <= MAX_BODY_BYTES:
        return body
    fields = {name: getattr(told, name) for name in Told.__struct_fields__} | {"data": None}
    return _encode(Body(type=tag, timestamp=commit.at, data=TooLarge(**fields, data_bytes=len(bytes(event)))))


def _shown(tag: str, event: Raw) -> Any:
    hidden = HIDDEN.get(tag)
    if hidden is None:
        return event
    return {name: value for name, value in msgspec.json.decode(event).items() if name not in hidden}
