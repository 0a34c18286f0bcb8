"""`fairlead connector enable | disable`: which connectors the tenant uses, and in which version."""

import rich_click as click

from fairlead.cli.authoring import connector
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views import CONNECTOR


@connector.command("enable")
@click.argument("name")
@click.option("--version", help="This version alone; else the newest of a major version, now and later.")
@click.option("--major", type=click.IntRange(min=0), help="Which major version; else that of the newest.")
@client_command
def enable(session: Session, name: str, version: str | None, major: int | None) -> None:
    """Let the tenant's workflows use the connector."""
    if version is not None and major is not None:
        raise click.UsageError("give --version or --major")
    choice = {key: value for key, value in {"version": version, "major": major}.items() if value is not None}
    session.out.one(session.api.put(path("connectors", name), choice).body, CONNECTOR)


@connector.command("disable")
@click.argument("name")
@reason_option
@client_command
def disable(session: Session, name: str, reason: str) -> None:
    """Use the connector no more, from this moment on."""
    session.api.delete(path("connectors", name), {"reason": reason})
    session.out.done(f"{name} is not used any more")
