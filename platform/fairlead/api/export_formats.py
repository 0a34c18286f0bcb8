"""Exports as JSON and NDJSON, written batch by batch; CSV is in export_csv.py. The shape is public: see `FORMAT`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fairlead.api.timeline_events import TimelineEvent
from fairlead.domain.instant import Instant

FORMAT: Final = "fairlead.timeline.v1"

Format = Literal["json", "ndjson", "csv", "proof"]  # the proof of a CSV is a file of its own
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "proof": "application/x-ndjson",
}
SUFFIXES: dict[Format, str] = {"json": "json", "ndjson": "ndjson", "csv": "csv", "proof": "csv.proof.ndjson"}

_encoder = msgspec.json.Encoder()


class Scope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for. `to` is exclusive; `after` is where an earlier part had stopped."""

    run_id: str | None = None
    from_: Instant | None = msgspec.field(name="from", default=None)
    to: Instant | None = None
    workflow_id: str | None = None
    after: str | None = None

    def as_signed(self) -> dict[str, Any]:
        """The same for all parts of one export."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in found.items() if key != "after"}


class SignedHead(Struct, frozen=True, kw_only=True):
    """The root of the tenant's ledger at a size. Ed25519 over the canonical JSON of all the other members."""

    format: Literal["fairlead.head.v1"]
    tenant_id: str
    size: int
    root: str
    at: Instant
    key_id: str
    signature: str


class ProvenLeaf(Struct, frozen=True, kw_only=True):
    """What the ledger holds of a commit: `leaf` in canonical JSON is what is hashed, as leaf `index` of the tree."""

    index: int
    leaf: dict[str, Any]


class SinceReceipt(Struct, frozen=True, kw_only=True):
    """RFC 6962 consistency from an older head."""

    size: int
    path: list[str]


class Proof(Struct, frozen=True, kw_only=True):
    """Of the events after `after`, up to `last`: their commits, the nodes of the tree beside these, and the head. Of
    leaves in `expired` the content was removed then, and their events are shown by hash."""

    last: str
    leaves: list[ProvenLeaf]
    after: str | None
    end: bool
    exported_at: Instant
    format: Literal["fairlead.proof.v1"]
    head: SignedHead
    key_id: str
    nodes: str
    scope: Scope
    signature: str
    since: SinceReceipt | UnsetType = UNSET
    expired: list[tuple[int, Instant]] | UnsetType = UNSET


class ExportedEvent(TimelineEvent, frozen=True, kw_only=True):
    """The first event of each page carries the page's proof."""

    proof: Proof | UnsetType = UNSET


class Export(Struct, frozen=True, kw_only=True):
    """A JSON export as a whole. `last` is the position to go on after; null when there was no event."""

    format: Literal["fairlead.timeline.v1"]
    exported_at: Instant
    scope: Scope
    events: list[ExportedEvent]
    last: str | None


class Writer(Protocol):
    """Bytes of an export, in order: the beginning, each batch, the end."""

    shows_proof: bool

    def begin(self) -> bytes: ...

    def batch(self, events: Sequence[TimelineEvent], proof: bytes | None = None) -> bytes: ...

    def end(self) -> bytes: ...


class NdjsonWriter:
    """One event a line. The position of the last whole line is where to go on."""

    shows_proof = True

    def begin(self) -> bytes:
        return b""

    def batch(self, events: Sequence[TimelineEvent], proof: bytes | None = None) -> bytes:
        return _with_proof(_encoder.encode(events[0]), proof) + b"\n" + _encoder.encode_lines(events[1:])

    def end(self) -> bytes:
        return b""


class ProofWriter:
    """One block a line, for a file beside that has none within."""

    shows_proof = True

    def begin(self) -> bytes:
        return b""

    def batch(self, events: Sequence[TimelineEvent], proof: bytes | None = None) -> bytes:  # noqa: ARG002  # not shown
        assert proof is not None, "there is nothing else to write"
        return proof + b"\n"

    def end(self) -> bytes:
        return b""


class JsonWriter:
    """One document, an `Export`. Cut short it is no JSON, so that nobody takes a part for the whole."""

    shows_proof = True

    def __init__(self, scope: Scope, exported_at: datetime) -> None:
        self._head = Export(format=FORMAT, exported_at=exported_at, scope=scope, events=[], last=None)
        self._last: str | None = None

    def begin(self) -> bytes:
        return _encoder.encode(self._head).removesuffix(b'],"last":null}')

    def batch(self, events: Sequence[TimelineEvent], proof: bytes | None = None) -> bytes:
        separator = b"" if self._last is None else b","
        self._last = events[-1].position
        first = _with_proof(_encoder.encode(events[0]), proof)
        return separator + first + b"".join(b"," + _encoder.encode(event) for event in events[1:])

    def end(self) -> bytes:
        return b'],"last":' + _encoder.encode(self._last) + b"}\n"


def _with_proof(event: bytes, proof: bytes | None) -> bytes:
    """As its last member: the position stays the first thing on a line."""
    return event if proof is None else event[:-1] + b',"proof":' + proof + b"}"
