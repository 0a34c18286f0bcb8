"""Any service that speaks HTTP: imported operation by operation from its OpenAPI description, or asked by path."""

from collections.abc import Mapping
from typing import Any

from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest, Tool, hookimpl
from fairlead_sdk.hookspecs import Register
from fairlead_sdk.importing import Import, ImportedTool, ToolSet

from fairlead_http import calling, importing
from fairlead_http.asking import TOOLS


class HttpConnector:
    manifest = Manifest(
        name="http",
        title="HTTP and OpenAPI",
        version="1.0.0",
        tools=TOOLS,
        auth=Auth(kind=AuthKind.API_KEY),
        egress=("{base_url}",),
        config=(ConfigField(name="base_url", title="Address of the service"),),
    )

    def read(self, name: str, description: bytes, hints: Mapping[str, Any]) -> Import:
        return importing.read(name, description, hints)

    def tool(self, tool_set: ToolSet, imported: ImportedTool) -> Tool[Any, Any]:
        return calling.tool_of(tool_set, imported)


@hookimpl
def register_connectors(register: Register) -> None:
    register(HttpConnector())
