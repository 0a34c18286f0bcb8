"""The published JSON Schema of a JSON export: `python -m fairlead.api.timeline_schema` prints it. It follows from the
Structs, so every field of every event that can be exported is in it."""

import json
import sys
from typing import Any

import msgspec

from fairlead.api.export_formats import FORMAT, Export
from fairlead.domain.approvals import ApprovalEvent
from fairlead.domain.codec import tags_of
from fairlead.domain.runs.events import RunEvent

SCHEMA_ID = f"urn:fairlead:{FORMAT.removeprefix('fairlead.').replace('.v', ':')}"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{name}"


def export_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of an `Export`. An event is checked by its tag."""
    events = {**tags_of(RunEvent), **tags_of(ApprovalEvent)}
    (root, *_), definitions = msgspec.json.schema_components([Export, *events.values()], ref_template=_REF)
    event = definitions["ExportedEvent"]
    event["properties"]["type"] = {"enum": sorted(events)}
    event["allOf"] = [
        {
            "if": {"properties": {"type": {"const": tag}}},
            "then": {"properties": {"data": {"$ref": _REF.format(name=shape.__name__)}}},
        }
        for tag, shape in sorted(events.items())
    ]
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **root, "$defs": dict(sorted(definitions.items()))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(export_schema(), indent=2) + "\n")
