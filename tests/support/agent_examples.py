"""The shipped agents of docs/examples, with what they work on."""

import sqlite3
from contextlib import closing
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
REFUNDS = EXAMPLES / "refund-agent"
RESEARCH = EXAMPLES / "research-summary"
LIBRARY = RESEARCH / "sources"
SCHEMA = Path(__file__).parents[2] / "connectors" / "fairlead_support" / "schema.sql"


def new_desk(file: Path) -> Path:
    """A desk as the example has it, whatever was there."""
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as desk, desk:
        desk.executescript(SCHEMA.read_text())
        desk.executescript((REFUNDS / "desk.sql").read_text())
    return file
