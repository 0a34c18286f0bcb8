"""`fairlead connection`: accounts at counterparts; made, given, looked into, revoked."""

import sys
import time
from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.places import environment_id, workspace_id
from fairlead.cli.session import Session, client_command
from fairlead.cli.spans import since as moment
from fairlead.cli.transport import path
from fairlead.cli.views.connections import CONNECTION, USE

CONNECTIONS = "/v1/connections"
MAX_SECRET = 16_384

workspace_option = click.option("--workspace", help="Name or id; else the one called default.")
environment_option = click.option("--environment", help="Name or id; else that of the key in use.")
scope_option = click.option("--scope", "scopes", multiple=True, help="What to ask for; may be given more than once.")
named = click.argument("connection", metavar="NAME_OR_ID")


@click.group()
def connection() -> None:
    """Accounts at counterparts, that workflows use by name."""


@connection.command("create")
@click.argument("connector")
@click.argument("name")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="A field of the connector, none a secret.")
@scope_option
@click.option("--grant", help="How access is given, where the connector offers several ways.")
@workspace_option
@environment_option
@client_command
def create(
    session: Session,
    connector: str,
    name: str,
    fields: tuple[str, ...],
    scopes: tuple[str, ...],
    grant: str | None,
    workspace: str | None,
    environment: str | None,
) -> None:
    """Make a connection. Without scopes only those that read are asked for."""
    body = {
        "connector": connector,
        "name": name,
        "config": dict(_field(text) for text in fields),
        "scopes": list(scopes) or None,
        "grant": grant,
        "workspace_id": workspace_id(session.api, workspace),
        "environment_id": environment_id(session.api, environment),
    }
    session.out.one(session.api.post(CONNECTIONS, body).body, CONNECTION)


@connection.command("list")
@click.option("--connector", help="Only those of this connector.")
@click.option("--standing", help="new, connected, reconnect_needed, revoked.")
@limit_option
@client_command
def list_connections(session: Session, connector: str | None, standing: str | None, limit: int) -> None:
    """List connections."""
    params = {"connector": connector, "standing": standing}
    session.out.many(session.api.pages(CONNECTIONS, params, limit=limit), CONNECTION)


@connection.command("show")
@named
@client_command
def show(session: Session, connection: str) -> None:
    """Show one connection, without its secret."""
    session.out.one(session.api.get(path("connections", _id(session, connection))).body, CONNECTION)


@connection.command("authorize")
@named
@scope_option
@click.option("--no-wait", is_flag=True, help="Do not ask for a code; say it later with `connection confirm`.")
@client_command
def authorize(session: Session, connection: str, scopes: tuple[str, ...], no_wait: bool) -> None:
    """Give access, for the first time or again: at a page of the provider, in a browser of yours."""
    found = _id(session, connection)
    begun = session.api.post(path("connections", found, "authorize"), {"scopes": list(scopes) or None}).body
    address = begun["authorization_url"]
    if address is None:
        session.out.one(begun["connection"], CONNECTION)
        return
    click.echo(f"Open this address, sign in and consent:\n\n  {address}\n", err=True)
    if no_wait or not sys.stdin.isatty():
        click.echo("Then say the code of the last page with `fairlead connection confirm`.", err=True)
        session.out.one(begun["connection"], CONNECTION)
        return
    _confirm(session, found, click.prompt("The code of the last page", err=True))


@connection.command("confirm")
@named
@click.argument("code")
@client_command
def confirm(session: Session, connection: str, code: str) -> None:
    """Say that it was you who was sent to the provider, with the code of the last page."""
    _confirm(session, _id(session, connection), code)


@connection.command("device")
@named
@scope_option
@client_command
def device(session: Session, connection: str, scopes: tuple[str, ...]) -> None:
    """Give access on another device, and wait for it."""
    resource = path("connections", _id(session, connection), "device")
    begun = session.api.post(resource, {"scopes": list(scopes) or None}).body
    address = begun["verification_url_complete"] or begun["verification_url"]
    click.echo(f"Open {address} on any device, and type in: {begun['user_code']}", err=True)
    pause_s = begun["interval_s"]
    while True:
        time.sleep(pause_s)
        looked = session.api.post(f"{resource}/look").body
        if looked["connection"] is not None:
            session.out.one(looked["connection"], CONNECTION)
            return
        pause_s = looked["interval_s"]


@connection.command("secret")
@named
@click.option("--username", help="Of an account with name and password; the password is what is read.")
@click.option(
    "--from-file", type=click.File("r"), default="-", show_default=True, help="Where the secret is; `-` for input."
)
@scope_option
@client_command
def secret(session: Session, connection: str, username: str | None, from_file: Any, scopes: tuple[str, ...]) -> None:
    """Put an API key or a password into the vault. It is read from a file or from input, never from the line."""
    text = _secret_text(from_file)
    given = {"key": text} if username is None else {"username": username, "password": text}
    body = {**given, "scopes": list(scopes) or None}
    session.out.one(session.api.post(path("connections", _id(session, connection), "secret"), body).body, CONNECTION)


@connection.command("exchange")
@named
@click.option(
    "--from-file", type=click.File("r"), default="-", show_default=True, help="Where the token is; `-` for input."
)
@click.option("--type", "kind", help="What kind of token it is, as RFC 8693 names it; else an access token.")
@scope_option
@client_command
def exchange(session: Session, connection: str, from_file: Any, kind: str | None, scopes: tuple[str, ...]) -> None:
    """Have the provider exchange somebody's token for access. It is read like a secret, never from the line."""
    body = {"subject_token": _secret_text(from_file), "scopes": list(scopes) or None}
    given = body if kind is None else {**body, "subject_token_type": kind}
    session.out.one(session.api.post(path("connections", _id(session, connection), "exchange"), given).body, CONNECTION)


@connection.command("revoke")
@named
@click.option("--reason", required=True, help="Why; it is kept.")
@client_command
def revoke(session: Session, connection: str, reason: str) -> None:
    """No call uses it from here on, anywhere; the provider is told and the secret erased. Safe to repeat."""
    ended = session.api.post(path("connections", _id(session, connection), "revoke"), {"reason": reason}).body
    session.out.one(ended, CONNECTION)


@connection.command("delete")
@named
@click.option("--reason", default="deleted", show_default=True, help="Why; it is kept.")
@client_command
def delete(session: Session, connection: str, reason: str) -> None:
    """End it like a revocation, and free its name. What used it stays on record."""
    found = _id(session, connection)
    session.api.delete(path("connections", found), {"reason": reason})


@connection.command("uses")
@named
@click.option("--since", help="A time like 2026-03-01T12:00:00Z, or how long ago: 90s, 30m, 12h, 7d.")
@limit_option
@client_command
def uses(session: Session, connection: str, since: str | None, limit: int) -> None:
    """Which calls were lent its credential, oldest first. One that is deleted is named by its id."""
    params = {"since": moment(since)}
    session.out.many(session.api.pages(path("connections", _id(session, connection), "uses"), params, limit=limit), USE)


def _id(session: Session, named: str) -> str:
    """A name counts where it stands for one connection that the key can see."""
    if named.startswith("con_"):
        return named
    found = [each for each in session.api.pages(CONNECTIONS) if each["name"] == named]
    if len(found) == 1:
        return str(found[0]["connection_id"])
    if not found:
        raise Failure(f"there is no connection {named}", Exit.NOT_FOUND)
    details = tuple(f"{each['connection_id']} in {each['workspace_id']} {each['environment_id']}" for each in found)
    raise Failure(f"{named} is the name of several connections: say which by its id", Exit.USAGE, details=details)


def _confirm(session: Session, connection_id: str, code: str) -> None:
    session.out.one(session.api.post(path("connections", connection_id, "confirm"), {"code": code}).body, CONNECTION)


def _field(text: str) -> tuple[str, str]:
    name, is_there, value = text.partition("=")
    if not is_there:
        raise click.UsageError(f"{name} is no FIELD=VALUE")
    return name, value


def _secret_text(source: Any) -> str:
    if source.isatty():
        return str(click.prompt("The secret", hide_input=True, err=True))
    return str(source.read(MAX_SECRET + 2)).rstrip("\r\n")
