"""Spans while they are drawn: begun by one fact and ended by another, or both by one that says how long it took."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.instant import Instant
from fairlead.domain.tracing import conventions as c
from fairlead.domain.tracing.spans import Link, Mark, Span, SpanKind, Value

MAX_SPANS = 20_000
MAX_MARKS = 100  # of one span
MAX_TEXT = 200  # characters of a value
_CODE = re.compile(r"[A-Za-z0-9_.:/@+-]{1,200}")  # nothing that could be a sentence
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")

RUN_KEY = "run"


class _Open(Struct, kw_only=True):
    parent: str
    name: str
    kind: SpanKind
    began_at: Instant
    attributes: dict[str, Value]
    waits: bool
    marks: list[Mark]
    links: list[Link]


class Drawing:
    """Of one run. Keys are ids of what the spans show: a span's id follows from them, so a trace sent twice is one."""

    def __init__(self, tenant_id: TenantId, run_id: str, start: Link | None) -> None:
        self._tenant_id = tenant_id
        self._run_id = run_id
        self._start = start
        self.trace_id = start.trace_id if start else _hex(run_id, 32)
        self.spans: list[Span] = []
        self._open: dict[str, _Open] = {}
        self.now: Instant
        self._from: Link | None = None

    def at(self, now: Instant, trace_parent: str | None) -> None:
        """What follows was decided now, in this context."""
        self.now, self._from = now, link_of(trace_parent)

    def begin(
        self,
        key: str,
        name: str,
        attributes: Mapping[str, Value],
        *,
        parent: str = RUN_KEY,
        kind: SpanKind = "internal",
        waits: bool = False,
    ) -> None:
        self._open[key] = _Open(
            parent=parent,
            name=_bounded(name),
            kind=kind,
            began_at=self.now,
            attributes=dict(attributes),
            waits=waits,
            marks=[],
            links=[],
        )
        self._linked(key)

    def end(self, key: str, error: str = "", attributes: Mapping[str, Value] | None = None) -> None:
        """What is not open has ended before, with the run or by another fact."""
        if key not in self._open:
            return
        self._linked(key)
        span = self._open.pop(key)
        span.attributes.update(attributes or {})
        self._add(key, span, error)

    def draw(
        self,
        key: str,
        name: str,
        latency_us: int,
        attributes: Mapping[str, Value],
        *,
        parent: str,
        kind: SpanKind = "client",
        error: str = "",
    ) -> None:
        """It is over now, and took so long."""
        known = self._open.pop(key, None)
        self.begin(key, name, attributes, parent=parent, kind=kind)
        began_at = self.now - timedelta(microseconds=latency_us)
        span = self._open.pop(key)
        span.began_at = max(began_at, self._open[parent].began_at) if parent in self._open else began_at
        if known is not None:
            span.name, span.attributes = known.name, known.attributes | span.attributes
            span.marks, span.links = known.marks, known.links
        self._add(key, span, error)

    def set(self, key: str, attributes: Mapping[str, Value]) -> None:
        if key in self._open:
            self._open[key].attributes.update(attributes)

    def mark(self, key: str, name: str, attributes: Mapping[str, Value]) -> None:
        """At the run where there is no such span, or none any more."""
        span = self._open.get(key) or self._open.get(RUN_KEY)
        if span is not None and len(span.marks) < MAX_MARKS:
            span.marks.append(Mark(name=name, at=self.now, attributes=_clean(attributes)))

    def is_open(self, key: str) -> bool:
        return key in self._open

    def open_below(self, parent: str) -> list[str]:
        return [key for key, span in self._open.items() if span.parent == parent]

    def end_all(self, error: str, attributes: Mapping[str, Value]) -> None:
        """The run is over, and with it all that it still had open."""
        for key in [key for key in self._open if key != RUN_KEY]:
            self.end(key, attributes={c.OUTCOME: "open"})
        self.end(RUN_KEY, error, attributes)

    def id_of(self, key: str) -> str:
        return _hex(f"{self._run_id}/{key}", 16)

    def _linked(self, key: str) -> None:
        """Whoever asked, signed or answered did so in a request of their own."""
        span, other = self._open[key], self._from
        if other is not None and other != self._start and other not in span.links:
            span.links.append(other)

    def _add(self, key: str, span: _Open, error: str) -> None:
        if len(self.spans) >= MAX_SPANS and key != RUN_KEY:
            return
        found: dict[str, Value] = {c.TENANT: self._tenant_id, c.RUN: self._run_id} | span.attributes
        error = code_of(error)
        if error:
            found[c.ERROR_TYPE] = error
        self.spans.append(
            Span(
                span_id=self.id_of(key),
                parent_id=self._parent_of(key, span),
                name=span.name,
                kind=span.kind,
                began_at=span.began_at,
                ended_at=max(self.now, span.began_at),
                attributes=_clean(found),
                error=error,
                waits=span.waits,
                marks=tuple(span.marks),
                links=tuple(span.links),
            )
        )

    def _parent_of(self, key: str, span: _Open) -> str:
        if key == RUN_KEY:
            return self._start.span_id if self._start else ""
        return self.id_of(span.parent)


def code_of(text: str) -> str:
    """Codes and names that counterparts give are passed on; what they write otherwise might be anything."""
    return text if not text or _CODE.fullmatch(text) else "other"


def link_of(trace_parent: str | None) -> Link | None:
    """None for what is not a W3C trace context."""
    found = _PARENT.fullmatch(trace_parent or "")
    return Link(found[1], found[2]) if found else None


def waited(spans: Iterable[Span]) -> timedelta:
    """How long at least one of them only waited."""
    total, until = timedelta(), None
    for span in sorted((span for span in spans if span.waits), key=lambda span: span.began_at):
        began_at = span.began_at if until is None else max(span.began_at, until)
        if span.ended_at > began_at:
            total, until = total + (span.ended_at - began_at), span.ended_at
    return total


def _clean(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Without what is empty."""
    return {
        name: _bounded(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value not in ("", ())
    }


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
