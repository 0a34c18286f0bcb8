"""How commits of the `eventsourcing` library look on the wire: one JSON document for the events of one aggregate.

Every commit also carries the running totals of its log (last notification id, positions tracked), so whoever holds
the newest commit knows them, and the engine's expected-last-sequence keeps them true.
"""

from typing import NamedTuple
from urllib.parse import quote, unquote
from uuid import UUID

import msgspec
from eventsourcing.persistence import DataError, InternalError, Notification, StoredEvent
from msgspec import Raw, Struct

MAX_NAME_BYTES = 512
TRACKING_SUBJECT = "tracking"  # last token of a commit that holds no event; aggregate tokens have a dash


class EventBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`type` is the library's topic. State that is JSON stays readable; other bytes are base64."""

    type: str
    version: int
    state: Raw = Raw()
    state_base64: bytes | None = None


class CommitBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`last_id` and `tracking` are totals of the log, the versions are totals of the aggregate, all after this commit.

    Every version from `dense_from` to `highest_version` is used.
    """

    commit_id: str
    last_id: int
    events: tuple[EventBody, ...] = ()
    highest_version: int | None = None
    dense_from: int | None = None
    tracking: dict[str, int] = {}


class Stored(NamedTuple):
    """A commit that is on the stream."""

    sequence: int
    subject: str
    body: CommitBody


_encode = msgspec.json.Encoder().encode
_commit_decoder = msgspec.json.Decoder(CommitBody)
_raw_decoder = msgspec.json.Decoder(Raw)


def encode_commit(body: CommitBody) -> bytes:
    return _encode(body)


def decode_commit(sequence: int, subject: str, data: bytes) -> Stored:
    """Raises InternalError when the message was not written by this module."""
    try:
        return Stored(sequence, subject, _commit_decoder.decode(data))
    except msgspec.MsgspecError as error:
        msg = f"message {sequence} of {subject} is not a commit of this library: {error}"
        raise InternalError(msg) from error


def event_body(event: StoredEvent) -> EventBody:
    raw = _as_json(event.state)
    if raw is None:
        return EventBody(type=event.topic, version=event.originator_version, state_base64=event.state)
    return EventBody(type=event.topic, version=event.originator_version, state=raw)


def stored_events(commit: Stored) -> list[StoredEvent]:
    return [_stored_event(commit, event) for event in commit.body.events]


def notifications(commit: Stored) -> list[Notification]:
    """The commit's events under their positions: the commit knows the last, the others count down from it."""
    first_id = commit.body.last_id - len(commit.body.events) + 1
    return [
        Notification(**vars(_stored_event(commit, event)), id=first_id + index)
        for index, event in enumerate(commit.body.events)
    ]


def originator_token(originator_id: UUID | str) -> str:
    """One subject token that says which aggregate it is and whether its id is a UUID or text. Raises DataError."""
    if isinstance(originator_id, UUID):
        return f"u-{originator_id.hex}"
    return f"t-{escaped(originator_id)}"


def escaped(text: str) -> str:
    """Text as part of one subject token: what the engine gives a meaning to is percent-encoded. Raises DataError."""
    try:
        token = quote(text, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        msg = "a name may not hold half a character"
        raise DataError(msg) from error
    if len(token) > MAX_NAME_BYTES:
        msg = f"a name may take {MAX_NAME_BYTES} bytes when escaped, this one takes {len(token)}"
        raise DataError(msg)
    return token


def _originator_id(token: str) -> UUID | str:
    kind, _, text = token.partition("-")
    return UUID(hex=text) if kind == "u" else unquote(text)


def _stored_event(commit: Stored, event: EventBody) -> StoredEvent:
    return StoredEvent(
        originator_id=_originator_id(commit.subject.rpartition(".")[2]),
        originator_version=event.version,
        topic=event.type,
        state=bytes(event.state) if event.state_base64 is None else event.state_base64,
    )


def _as_json(state: bytes) -> Raw | None:
    """None unless the very same bytes come back when they are embedded in JSON text."""
    try:
        state.decode()
        raw = _raw_decoder.decode(state)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    return raw if bytes(raw) == state else None
