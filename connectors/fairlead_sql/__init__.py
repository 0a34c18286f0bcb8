"""Databases, by statements that a tenant wrote down beforehand: named, with parameters. Nothing else is ever run."""

from collections.abc import Mapping
from typing import Any

from fairlead_sdk import Manifest, Tool, hookimpl
from fairlead_sdk.hookspecs import Register
from fairlead_sdk.importing import Import, ImportedTool, ToolSet

from fairlead_sql import importing, running
from fairlead_sql.checking import check_connection
from fairlead_sql.dialects import AUTH, CONFIG, EGRESS


class SqlConnector:
    """`plain_servers` may be spoken to without TLS, `sqlite_folder` is where a tenant's files are."""

    manifest = Manifest(
        name="sql",
        title="SQL databases",
        version="1.0.0",
        tools=(check_connection,),
        settings=("ca_file", "plain_servers", "sqlite_folder"),
        auth=AUTH["postgresql"],
        config=CONFIG["postgresql"],
        egress=EGRESS["postgresql"],
    )

    def read(self, name: str, description: bytes, hints: Mapping[str, Any]) -> Import:
        return importing.read(name, description, hints)

    def tool(self, tool_set: ToolSet, imported: ImportedTool) -> Tool[Any, Any]:  # noqa: ARG002  # it shares nothing
        return running.tool_of(imported)


@hookimpl
def register_connectors(register: Register) -> None:
    register(SqlConnector())
