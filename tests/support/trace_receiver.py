"""A receiver of traces over HTTP that reads them with the protocol's own package."""

import asyncio
import gzip
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.flaky_http import Asked, FlakyServer, Wire, reply

PATH = "/v1/traces"
SOON_S = 20.0
Holds = Callable[[list[Span]], bool]


class Receiver:
    """`spans` are those that it has taken, in the order in which they came."""

    def __init__(self, server: FlakyServer) -> None:
        self.server = server
        self.url = server.url(PATH)
        self._news = asyncio.Event()
        self.answers(200)

    def answers(self, status: int) -> None:
        said = reply(status, b"", content_type="application/x-protobuf")

        async def answer(writer: Wire, asked: Asked) -> None:
            self._news.set()
            await said(writer, asked)

        self.server.answers[PATH] = answer

    @property
    def spans(self) -> list[Span]:
        found: list[Span] = []
        for asked in self.server.asked:
            request = ExportTraceServiceRequest()
            request.ParseFromString(gzip.decompress(asked.body))
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return found

    async def until(self, holds: Holds) -> None:
        async with asyncio.timeout(SOON_S):
            while not holds(self.spans):
                self._news.clear()
                await self._news.wait()


def has_run(run_id: str) -> Holds:
    """The span of the run itself has come."""
    return lambda spans: any(span.name.startswith("invoke") and of(span) == run_id for span in spans)


def of(span: Span) -> str:
    (run_id,) = (each.value.string_value for each in span.attributes if each.key == "fairlead.run.id")
    return str(run_id)
