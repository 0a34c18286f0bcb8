"""What a run did as a trace: spans that follow from its facts, and which traces are kept."""

from fairlead.domain.tracing.run_trace import trace_of
from fairlead.domain.tracing.sampling import Sampling, is_kept
from fairlead.domain.tracing.spans import Link, Mark, RunTrace, Span, Value

__all__ = ["Link", "Mark", "RunTrace", "Sampling", "Span", "Value", "is_kept", "trace_of"]
