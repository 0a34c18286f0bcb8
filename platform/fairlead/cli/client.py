"""Which commands are clients of the REST API, and where each is."""

from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "approval": "fairlead.cli.approvals:approval",
    "export": "fairlead.cli.exports:export",
    "run": "fairlead.cli.exports:run",
}
