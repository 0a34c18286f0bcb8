"""Exports as JSON and NDJSON, written batch by batch; CSV is in export_csv.py. The shape is public: see `FORMAT`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct

from fairlead.api.timeline_events import TimelineEvent
from fairlead.domain.instant import Instant

FORMAT: Final = "fairlead.timeline.v1"

Format = Literal["json", "ndjson", "csv"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}

_encoder = msgspec.json.Encoder()


class Scope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for. `to` is exclusive; `after` is where an earlier part had stopped."""

    run_id: str | None = None
    from_: Instant | None = msgspec.field(name="from", default=None)
    to: Instant | None = None
    workflow_id: str | None = None
    after: str | None = None


class Export(Struct, frozen=True, kw_only=True):
    """A JSON export as a whole. `last` is the position to go on after; null when there was no event."""

    format: Literal["fairlead.timeline.v1"]
    exported_at: Instant
    scope: Scope
    events: list[TimelineEvent]
    last: str | None


class Writer(Protocol):
    """Bytes of an export, in order: the beginning, each batch, the end."""

    def begin(self) -> bytes: ...

    def batch(self, events: Sequence[TimelineEvent]) -> bytes: ...

    def end(self) -> bytes: ...


class NdjsonWriter:
    """One event a line. The position of the last whole line is where to go on."""

    def begin(self) -> bytes:
        return b""

    def batch(self, events: Sequence[TimelineEvent]) -> bytes:
        return _encoder.encode_lines(events)

    def end(self) -> bytes:
        return b""


class JsonWriter:
    """One document, an `Export`. Cut short it is no JSON, so that nobody takes a part for the whole."""

    def __init__(self, scope: Scope, exported_at: datetime) -> None:
        self._head = Export(format=FORMAT, exported_at=exported_at, scope=scope, events=[], last=None)
        self._last: str | None = None

    def begin(self) -> bytes:
        return _encoder.encode(self._head).removesuffix(b'],"last":null}')

    def batch(self, events: Sequence[TimelineEvent]) -> bytes:
        separator = b"" if self._last is None else b","
        self._last = events[-1].position
        return separator + _encoder.encode(events)[1:-1]

    def end(self) -> bytes:
        return b'],"last":' + _encoder.encode(self._last) + b"}\n"
