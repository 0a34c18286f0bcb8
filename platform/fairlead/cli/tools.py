"""`fairlead tool`: what workflows can call."""

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.tools import CONNECTOR, TOOL

TOOLS, CONNECTORS = "/v1/tools", "/v1/connectors"


@click.group()
def tool() -> None:
    """What workflows can call."""


@tool.command("list")
@click.option("--connector", help="Only those of this connector.")
@limit_option
@client_command
def list_tools(session: Session, connector: str | None, limit: int) -> None:
    """List tools."""
    session.out.many(session.api.pages(TOOLS, {"connector": connector}, limit=limit), TOOL)


@tool.command("show")
@click.argument("name")
@client_command
def show(session: Session, name: str) -> None:
    """Show a tool with its schemas."""
    session.out.one(session.api.get(path("tools", name)).body, TOOL)


@tool.command("connectors")
@client_command
def connectors(session: Session) -> None:
    """List connectors, and say of one that cannot be used why."""
    session.out.many(session.api.get(CONNECTORS).body["items"], CONNECTOR)
