"""Traces, put together where somebody has named a receiver. Nothing of OpenTelemetry is imported anywhere else."""

from datetime import timedelta

from fairlead.consumers.run_traces import RunTraces
from fairlead.domain.errors import Rejected
from fairlead.domain.tracing import Sampling
from fairlead.ports import Clock, Log, Outbound
from fairlead.settings import Settings


class NoTelemetry(Rejected):
    """A receiver of traces is named, and what speaks to it is not installed."""

    code = "no_telemetry"


def run_traces(settings: Settings, log: Log, outbound: Outbound, clock: Clock) -> RunTraces | None:
    """None where no receiver is named. Raises NoTelemetry."""
    if settings.telemetry_url is None:
        return None
    try:
        from fairlead.adapters.otlp import OtlpSink, headers_of
    except ModuleNotFoundError as missing:
        raise NoTelemetry("FAIRLEAD_TELEMETRY_URL needs the extra `otel`: install `fairlead[otel]`") from missing
    sink = OtlpSink(outbound, settings.telemetry_url, headers_of(settings.telemetry_headers))
    sampling = Sampling(
        share_percent=settings.telemetry_share_percent, slow=timedelta(seconds=settings.telemetry_slow_s)
    )
    return RunTraces(log, sink, sampling, clock)
