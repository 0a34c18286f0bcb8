"""`fairlead breaker`: which counterparts are known not to answer, and closing one by hand."""

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.brakes import BREAKER, BREAKER_RESET

BREAKERS = "/v1/breakers"


@click.group()
def breaker() -> None:
    """Counterparts that are known not to answer: see them, and have calls made again."""


@breaker.command("list")
@click.option("--connector", help="Only those of this connector.")
@click.option("--state", type=click.Choice(["open", "half_open", "closed"]), help="Only those that stand so.")
@limit_option
@client_command
def list_breakers(session: Session, connector: str | None, state: str | None, limit: int) -> None:
    """List breakers that ever opened."""
    params = {"connector": connector, "state": state}
    session.out.many(session.api.pages(BREAKERS, params, limit=limit), BREAKER)


@breaker.command("reset")
@click.argument("connector")
@click.option("--connection", "connection_id", help="Of this connection.")
@click.option("--environment", "environment_id", help="In this environment; else in the key's own.")
@reason_option
@client_command
def reset(session: Session, connector: str, connection_id: str | None, environment_id: str | None, reason: str) -> None:
    """Close one: calls are made again at once."""
    body = {"reason": reason, "connection_id": connection_id, "environment_id": environment_id}
    session.out.one(session.api.post(path("breakers", connector, "reset"), body).body, BREAKER_RESET)
