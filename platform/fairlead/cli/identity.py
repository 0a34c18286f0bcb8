"""`fairlead login`, `logout` and `whoami`: which server, as whom."""

import os
import sys
from typing import Any

import rich_click as click

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.session import Session, client_command, read_key
from fairlead.cli.targets import (
    DEFAULT_PROFILE,
    Profile,
    Target,
    check_key,
    check_url,
    profiles_file,
    read_profiles,
    write_profiles,
)
from fairlead.cli.views.people import ME

profile_option = click.option("--profile", default=DEFAULT_PROFILE, show_default=True, help="Name to save them under.")


@click.command()
@click.option("--url", required=True, help="Address of the server.")
@profile_option
@click.option(
    "--key-file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), help="`-` for standard input."
)
@click.option("--allow-http", is_flag=True, help="Send the key unencrypted, where the network is trusted.")
def login(url: str, profile: str, key_file: str | None, allow_http: bool) -> None:
    """Save a server and a key for it, once the server has said whose it is. The key is asked for, or read."""
    check_url(url, allow_http)
    key = read_key(key_file or "-") if key_file or not sys.stdin.isatty() else click.prompt("API key", hide_input=True)
    check_key(key)
    me = _whose(Target(url=url, key=key, source="login"))
    file = profiles_file(os.environ)
    write_profiles(file, {**read_profiles(file), profile: Profile(url=url, key=key)})
    click.echo(f"{profile}: {me['name']} ({me['principal_id']}) at {url}, saved in {file}")


@click.command()
@profile_option
def logout(profile: str) -> None:
    """Forget a saved key. It goes on to count: `fairlead key revoke` ends it."""
    file = profiles_file(os.environ)
    saved = read_profiles(file)
    if profile not in saved:
        raise Failure(f"there is no profile {profile}", Exit.NOT_FOUND)
    write_profiles(file, {name: kept for name, kept in saved.items() if name != profile})
    click.echo(f"{profile} is forgotten")


@click.command()
@client_command
def whoami(session: Session) -> None:
    """Show whom the key stands for, what it may do, and which server was asked."""
    me = session.api.get("/v1/me").body
    if session.out.form == "table":
        me = {**me, "server": session.api.target.url, "source": session.api.target.source}
    session.out.one(me, ME)


def _whose(target: Target) -> Any:
    from fairlead.cli.transport import Api

    with Api(target) as api:
        return api.get("/v1/me").body
