"""`fairlead oauth-client`: who we are at the providers of connectors."""

from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.connections import environment_option, workspace_option
from fairlead.cli.places import environment_id, workspace_id
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.connections import OAUTH_CLIENT, REGISTERED

CLIENTS = "/v1/oauth-clients"


@click.group("oauth-client")
def oauth_client() -> None:
    """Registrations at providers of OAuth, made there by you and brought here."""


@oauth_client.command("register")
@click.argument("connector")
@click.argument("client_id")
@click.option("--secret-from", type=click.File("r"), help="File with the client's secret; `-` for input.")
@click.option("--private-key-from", type=click.File("r"), help="File with the JWK that it signs with instead.")
@workspace_option
@environment_option
@client_command
def register(
    session: Session,
    connector: str,
    client_id: str,
    secret_from: Any,
    private_key_from: Any,
    workspace: str | None,
    environment: str | None,
) -> None:
    """Register, or replace what was registered. The answer has the address that the provider must know of us."""
    body = {
        "connector": connector,
        "client_id": client_id,
        "client_secret": secret_from and secret_from.read().rstrip("\r\n"),
        "private_key": private_key_from and private_key_from.read(),
        "workspace_id": workspace_id(session.api, workspace),
        "environment_id": environment_id(session.api, environment),
    }
    session.out.one(session.api.post(CLIENTS, body).body, REGISTERED)


@oauth_client.command("list")
@limit_option
@client_command
def list_clients(session: Session, limit: int) -> None:
    """List registrations, without their secrets."""
    session.out.many(session.api.pages(CLIENTS, limit=limit), OAUTH_CLIENT)


@oauth_client.command("remove")
@click.argument("oauth_client_id")
@client_command
def remove(session: Session, oauth_client_id: str) -> None:
    """Forget a registration and its secret. Connections made with it cannot be renewed any more."""
    session.api.delete(path("oauth-clients", oauth_client_id))
