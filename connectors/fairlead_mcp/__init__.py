"""Any server of the Model Context Protocol, over HTTP or as a program that the operator lists."""

from collections.abc import Mapping
from typing import Any

from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest, Tool, hookimpl
from fairlead_sdk.hookspecs import Register
from fairlead_sdk.importing import Import, ImportedTool, ToolSet

from fairlead_mcp import calling, importing
from fairlead_mcp.listing import list_tools


class McpConnector:
    """`stdio_servers` are the programs that connections may name, and no other is ever started."""

    manifest = Manifest(
        name="mcp",
        title="Model Context Protocol",
        version="1.0.0",
        tools=(list_tools,),
        settings=("stdio_servers",),
        auth=Auth(kind=AuthKind.API_KEY),
        config=(
            ConfigField(name="url", title="Address of a server over HTTP", required=False),
            ConfigField(name="program", title="Or the name of a program that the operator lists", required=False),
        ),
        egress=("{url}",),
    )

    def read(self, name: str, description: bytes, hints: Mapping[str, Any]) -> Import:
        return importing.read(name, description, hints)

    def tool(self, tool_set: ToolSet, imported: ImportedTool) -> Tool[Any, Any]:
        return calling.tool_of(tool_set, imported)


@hookimpl
def register_connectors(register: Register) -> None:
    register(McpConnector())
