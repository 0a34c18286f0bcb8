"""Tools, and where they come from."""

from typing import Any

from fairlead.cli.output import Column, View


def installed(connector: Any) -> str:
    return ", ".join(each["version"] for each in connector["versions"] if each["installed"])


TOOL = View(
    identity="name",
    columns=(
        Column("TOOL", "name"),
        Column("EFFECT", "effect"),
        Column("CONNECTOR", "connector"),
        Column("VERSION", "version"),
        Column("DESCRIPTION", "description"),
    ),
    details=(
        Column("SCOPES", "scopes"),
        Column("WRITES", "writes"),
        Column("TIMEOUT S", "timeout_s"),
        Column("IDEMPOTENCY", "idempotency"),
        Column("INPUT", "input_schema"),
        Column("OUTPUT", "output_schema"),
    ),
)


CONNECTOR = View(
    identity="name",
    columns=(
        Column("CONNECTOR", "name"),
        Column("IN USE", "version"),
        Column("USABLE", "usable"),
        Column("INSTALLED", installed),
        Column("REASON", "reason"),
    ),
    details=(Column("CHOICE", "choice"), Column("VERSIONS", "versions")),
)


def _tools(toolset: Any) -> int:
    """A list of sets has numbers by effect, one set its tools."""
    return len(toolset["tools"]) if "tools" in toolset else sum(toolset["tools_by_effect"].values())


def _left_out(report: Any) -> str:
    return "; ".join(f"{each['operation']}: {each['message']}" for each in report["left_out"])


TOOLSET = View(
    identity="name",
    columns=(
        Column("TOOLSET", "name"),
        Column("VERSION", "version", right=True),
        Column("TITLE", "title"),
        Column("TOOLS", _tools, right=True),
        Column("LEFT OUT", "left_out", right=True),
        Column("IMPORTED", "imported_at"),
    ),
    details=(
        Column("IMPORTER", "importer"),
        Column("AUTHOR", "author.id"),
        Column("REASON", "reason"),
        Column("SIGN IN", "sign_in.auth"),
        Column("HOSTS", "sign_in.egress"),
        Column("NAMES", lambda toolset: [tool["name"] for tool in toolset.get("tools", ())]),
    ),
)


IMPORTED = View(
    identity="name",
    columns=(
        Column("TOOLSET", "name"),
        Column("VERSION", "version", right=True),
        Column("TITLE", "title"),
        Column("TOOLS", _tools, right=True),
        Column("LEFT OUT", "left_out_count", right=True),
    ),
    details=(
        Column("SIGN IN", "sign_in.auth"),
        Column("HOSTS", "sign_in.egress"),
        Column("NOT IMPORTED", _left_out),
    ),
)
