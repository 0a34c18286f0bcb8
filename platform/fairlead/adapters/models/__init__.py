"""Asks models: over the wire through the guarded way out, or of what was recorded."""

from fairlead.adapters.models.providers import WireModels
from fairlead.adapters.models.recorded import FileRecordings, NoRecordings, RecordedModels

__all__ = ["FileRecordings", "NoRecordings", "RecordedModels", "WireModels"]
