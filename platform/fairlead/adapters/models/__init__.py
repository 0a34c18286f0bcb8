"""Asks models: over the wire through the guarded way out, or of what was recorded."""

from fairlead.adapters.models.providers import WireModels
from fairlead.adapters.models.recorded import FileRecordings, RecordedModels

__all__ = ["FileRecordings", "RecordedModels", "WireModels"]
