"""A trace, whatever it is sent as."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.instant import Instant

Value = str | int | float | bool | tuple[str, ...]
SpanKind = Literal["internal", "client", "server"]


class Mark(Struct, frozen=True, kw_only=True):
    """Something that happened within a span."""

    name: str
    at: Instant
    attributes: Mapping[str, Value]


class Link(Struct, frozen=True):
    """A span of other work that had to do with this one, in hex."""

    trace_id: str
    span_id: str


class Span(Struct, frozen=True, kw_only=True):
    """`error` is a code, never a message; empty: nothing was wrong. `waits`: for people, a signal or a time."""

    span_id: str
    parent_id: str
    name: str
    kind: SpanKind
    began_at: Instant
    ended_at: Instant
    attributes: Mapping[str, Value]
    error: str = ""
    waits: bool = False
    marks: tuple[Mark, ...] = ()
    links: tuple[Link, ...] = ()


class RunTrace(Struct, frozen=True, kw_only=True):
    """A run that has ended. `spans` are what it did until then, `undoing` what was undone of it afterwards.

    `busy` is its time without what it only waited. `flawed`: it did not complete, or something in it went wrong.
    """

    tenant_id: TenantId
    run_id: str
    trace_id: str
    ended_at: Instant
    busy: timedelta
    flawed: bool
    spans: tuple[Span, ...]
    undoing: tuple[Span, ...]
