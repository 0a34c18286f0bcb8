"""The published JSON Schema of a bundle: `python -m fairlead.api.bundle_schema` prints it."""

import json
import sys
from typing import Any

import msgspec

from fairlead.api.timeline_schema import DIALECT
from fairlead.domain.bundles import FORMAT, Bundle

SCHEMA_ID = f"urn:fairlead:{FORMAT.removeprefix('fairlead.').replace('.v', ':')}"


def bundle_schema() -> dict[str, Any]:
    """JSON Schema 2020-12."""
    (root,), definitions = msgspec.json.schema_components([Bundle], ref_template="#/$defs/{name}")
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **root, "$defs": dict(sorted(definitions.items()))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bundle_schema(), indent=2) + "\n")
