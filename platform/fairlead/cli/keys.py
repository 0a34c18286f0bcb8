"""`fairlead key`: API keys, shown once."""

from pathlib import Path
from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.places import environment_id
from fairlead.cli.private_files import write_private
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.people import ISSUED, KEY

KEYS = "/v1/keys"
DAY_S = 24 * 60 * 60

days_option = click.option(
    "--days", default=90, show_default=True, type=click.IntRange(1, 365), help="How long it counts."
)
file_option = click.option(
    "--to-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the key into this new file, for its owner only, and do not show it.",
)


@click.group()
def key() -> None:
    """API keys: made, rotated with overlap, revoked at once."""


@key.command("issue")
@click.argument("name")
@click.option("--principal", help="Id of the service account that it is for; else your own.")
@click.option("--environment", help="Name or id; else that of the key in use.")
@click.option(
    "--scope", "scopes", multiple=True, help="Permission that it is narrowed to; may be given more than once."
)
@days_option
@file_option
@client_command
def issue(
    session: Session,
    name: str,
    principal: str | None,
    environment: str | None,
    scopes: tuple[str, ...],
    days: int,
    to_file: Path | None,
) -> None:
    """Make a key. It is shown this once."""
    body = {
        "name": name,
        "environment_id": environment_id(session.api, environment) or _own_environment(session),
        "principal_id": principal,
        "scopes": list(scopes) or None,
        "expires_in_s": days * DAY_S,
    }
    _hand_over(session, KEYS, body, to_file)


@key.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap-hours", default=24, show_default=True, type=click.IntRange(0, 168), help="The old one goes on."
)
@days_option
@file_option
@client_command
def rotate(session: Session, key_id: str, overlap_hours: int, days: int, to_file: Path | None) -> None:
    """Make the successor of a key. The old one goes on for the overlap."""
    body = {"overlap_s": overlap_hours * 60 * 60, "expires_in_s": days * DAY_S}
    _hand_over(session, path("keys", key_id, "rotate"), body, to_file)


@key.command("revoke")
@click.argument("key_id")
@click.option("--reason", required=True, help="Why; it is kept.")
@client_command
def revoke(session: Session, key_id: str, reason: str) -> None:
    """End a key with the next request, everywhere."""
    session.out.one(session.api.post(path("keys", key_id, "revoke"), {"reason": reason}).body, KEY)


@key.command("list")
@click.option("--principal", help="Only keys of this principal.")
@limit_option
@client_command
def list_keys(session: Session, principal: str | None, limit: int) -> None:
    """List keys, also those that ended in the last 30 days."""
    session.out.many(session.api.pages(KEYS, {"principal_id": principal}, limit=limit), KEY)


def _own_environment(session: Session) -> Any:
    own = session.api.get("/v1/me").body["environment_id"]
    if own is None:
        raise Failure("name the environment that the key is for with --environment", Exit.USAGE)
    return own


def _hand_over(session: Session, resource: str, body: dict[str, Any], to_file: Path | None) -> None:
    """To the file before anything is shown: a key that is lost here is lost for good."""
    if to_file is not None and to_file.exists():
        raise Failure(f"{to_file} is there already", Exit.REFUSED)
    made = session.api.post(resource, body).body
    if made["secret"] is None:
        details = (f"revoke {made['key_id']} and issue another",)
        raise Failure("the key was made, but its text was lost on the way", details=details)
    if to_file is not None:
        write_private(to_file, made["secret"].encode() + b"\n")
        made = {**made, "secret": f"in {to_file}"}
    session.out.one(made, ISSUED)
