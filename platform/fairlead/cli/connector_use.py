"""`fairlead connector enable | disable`: which connectors the tenant uses, and in which version."""

from typing import Any

import rich_click as click

from fairlead.cli.authoring import connector
from fairlead.cli.failures import Failure
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import Api, path
from fairlead.cli.views.tools import CONNECTOR

NOT_THERE_YET = ("connector_unknown", "connector_version_not_installed")
TRIES = 60
PAUSE_S = 0.5


@connector.command("enable")
@click.argument("name")
@click.option("--version", help="This version alone; else the newest of a major version, now and later.")
@click.option("--major", type=click.IntRange(min=0), help="Which major version; else that of the newest.")
@click.option("--wait", is_flag=True, help="For one installed just now: up to half a minute, until it has been loaded.")
@client_command
def enable(session: Session, name: str, version: str | None, major: int | None, wait: bool) -> None:
    """Let the tenant's workflows use the connector."""
    if version is not None and major is not None:
        raise click.UsageError("give --version or --major")
    choice = {key: value for key, value in {"version": version, "major": major}.items() if value is not None}
    session.out.one(_chosen(session.api, name, choice, TRIES if wait else 1), CONNECTOR)


@connector.command("disable")
@click.argument("name")
@reason_option
@client_command
def disable(session: Session, name: str, reason: str) -> None:
    """Use the connector no more, from this moment on."""
    session.api.delete(path("connectors", name), {"reason": reason})
    session.out.done(f"{name} is not used any more")


def _chosen(api: Api, name: str, choice: Any, tries: int) -> Any:
    """Raises Failure."""
    for _ in range(tries - 1):
        try:
            return api.put(path("connectors", name), choice).body
        except Failure as failure:
            if (failure.document or {}).get("code") not in NOT_THERE_YET:
                raise
        api.pause(PAUSE_S)
    return api.put(path("connectors", name), choice).body
