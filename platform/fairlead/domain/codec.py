"""Commits as the JSON that is stored, and back. The only place that knows of event shapes that are no longer written.

Bytes follow from values alone (fields as declared, mapping keys sorted), so equal commits have equal hashes.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from msgspec import Struct

from fairlead.domain.envelope import MAX_COMMIT_BYTES, Commit, Kind, Sequence, StreamRef
from fairlead.domain.errors import FairleadError, Rejected

SCHEMA_VERSION = "1"  # of the envelope; travels beside the body as a header

_MISFIT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Upcast = Callable[
    [dict[str, Any]], dict[str, Any]
]  # an event's old JSON to its next shape, which has the next tag in `type`


class UnreadableCommit(FairleadError):
    """The commit's tags are known and its content does not fit them: damage, or a shape changed without a new tag."""

    code = "unreadable_commit"


class UnknownEvent(UnreadableCommit):
    """The commit holds something this program has no name for: it was written by a newer one."""

    code = "unknown_event"


class Unreadable(Struct, frozen=True):
    """A commit that is on the log and that this program cannot read. Whose it is, the log knows without reading it."""

    sequence: Sequence
    stream: StreamRef
    reason: UnreadableCommit


class CommitTooLarge(Rejected):
    """One decision wrote more than a commit may hold."""

    code = "commit_too_large"


def tags_of(events: Any) -> dict[str, Any]:
    """Permanent tag to class, for a union of events or a single one."""
    return {str(event.__struct_config__.tag): event for event in get_args(events) or (events,)}


class Codec:
    """`catalogue` holds the union of events of each kind; `upcasters` go by the old tag and may chain."""

    def __init__(self, catalogue: Mapping[Kind, Any], upcasters: Mapping[str, Upcast] | None = None) -> None:
        self._encode = msgspec.json.Encoder(order="deterministic").encode
        generic: Any = Commit  # the unions are data here, which no annotation can say
        self._decoders: dict[str, msgspec.json.Decoder[Commit[Any]]] = {
            kind: msgspec.json.Decoder(generic[events]) for kind, events in catalogue.items()
        }
        self._tags = {kind: frozenset(tags_of(events)) for kind, events in catalogue.items()}
        self._upcasters = dict(upcasters or {})

    def encode(self, commit: Commit[Any]) -> bytes:
        """Raises CommitTooLarge above MAX_COMMIT_BYTES."""
        body = self._encode(commit)
        if len(body) > MAX_COMMIT_BYTES:
            raise CommitTooLarge(f"the commit has {len(body)} bytes, the limit is {MAX_COMMIT_BYTES}")
        return body

    def decode(self, kind: Kind, body: bytes) -> Commit[Any]:
        """Raises UnknownEvent for a kind or tag without a name here, UnreadableCommit for any other misfit."""
        decoder = self._decoders.get(kind)
        if decoder is None:
            raise UnknownEvent(f"no events of kind {kind!r} are known")
        try:
            return decoder.decode(body)
        except _MISFIT as misfit:
            try:
                return decoder.decode(self._upcast(kind, body))
            except _MISFIT:
                raise UnreadableCommit(f"a commit of kind {kind!r} does not fit its events: {misfit}") from misfit

    def _upcast(self, kind: Kind, body: bytes) -> bytes:
        commit = msgspec.json.decode(body, type=dict[str, Any])
        events = msgspec.convert(commit.get("events"), list[dict[str, Any]])
        return self._encode({**commit, "events": [self._modern(kind, event) for event in events]})

    def _modern(self, kind: Kind, event: dict[str, Any]) -> dict[str, Any]:
        for _ in self._upcasters:  # a chain is never longer than the upcasters are many
            upcast = self._upcasters.get(str(event.get("type")))
            if upcast is None:
                break
            try:
                event = upcast(event)
            except (LookupError, TypeError, ValueError) as stumble:  # over a field that is missing, or is another thing
                message = f"an event of kind {kind!r} cannot be made of {event.get('type')!r}"
                raise UnreadableCommit(f"{message}: {type(stumble).__name__}") from stumble
        if event.get("type") not in self._tags[kind]:
            raise UnknownEvent(f"no event of kind {kind!r} has the tag {event.get('type')!r}")
        return event
