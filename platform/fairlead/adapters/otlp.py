"""Sends spans to a collector: OTLP, protobuf over HTTP. Imported where one is named; the packages are an extra."""

import gzip
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from fairlead_sdk.errors import OutcomeUnknown, Refused, TryLater
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from fairlead.domain.errors import Unavailable
from fairlead.domain.instant import Instant
from fairlead.domain.tracing import Span
from fairlead.ports import Outbound, SpansRefused, WayOut

TIMEOUT_S = 10.0
MAX_SPANS = 500  # in one request
_AGAIN = frozenset({408, 429, 502, 503, 504})  # by the protocol: the same request may be sent later
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_RESOURCE = Resource({"service.name": "fairlead"})
_SCOPE = InstrumentationScope("fairlead")


class OtlpSink:
    """`headers` may hold a secret: they are sent to `url` and appear nowhere else."""

    def __init__(self, outbound: Outbound, url: str, headers: Mapping[str, str]) -> None:
        self._outbound = outbound
        self._url = url
        self._headers = {
            **headers,
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
        }

    async def send(self, trace_id: str, spans: Sequence[Span]) -> None:
        for first in range(0, len(spans), MAX_SPANS):
            part = [readable(trace_id, span) for span in spans[first : first + MAX_SPANS]]
            await self._post(gzip.compress(encode_spans(part).SerializeToString(), compresslevel=3))

    async def _post(self, body: bytes) -> None:
        host = self._url.partition("://")[2].partition("/")[0]
        http = self._outbound.http(WayOut(egress=(host,), timeout_s=TIMEOUT_S, owner="telemetry"))
        try:
            answer = await http.send("POST", self._url, headers=self._headers, body=body, timeout_s=TIMEOUT_S)
        except (Refused, TryLater, OutcomeUnknown) as error:
            raise Unavailable("the receiver of traces") from error
        if answer.status in _AGAIN:
            raise Unavailable("the receiver of traces")
        if not 200 <= answer.status < 300:
            raise SpansRefused(f"the receiver of traces answered {answer.status}")


def headers_of(text: str | None) -> dict[str, str]:
    """The setting has seen to the form."""
    pairs = (part.partition("=") for part in (text or "").split(",") if part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def readable(trace_id: str, span: Span) -> ReadableSpan:
    """In the form that every exporter of OpenTelemetry takes."""
    return ReadableSpan(
        name=span.name,
        context=_context(trace_id, span.span_id),
        parent=_context(trace_id, span.parent_id) if span.parent_id else None,
        resource=_RESOURCE,
        attributes=span.attributes,
        events=[Event(mark.name, mark.attributes, _ns(mark.at)) for mark in span.marks],
        links=[Link(_context(link.trace_id, link.span_id)) for link in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=_ns(span.began_at),
        end_time=_ns(span.ended_at),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _ns(at: Instant) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000
