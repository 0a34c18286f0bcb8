"""What every client command is given: the API, a printer, and the options that choose them."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import rich_click as click
from msgspec import Struct

from fairlead.cli.failures import Failure
from fairlead.cli.output import Format, Printer, output_option
from fairlead.cli.targets import Wanted, find
from fairlead.cli.transport import Api

P = ParamSpec("P")
MAX_KEY_BYTES = 1_000


class Session(Struct, frozen=True):
    api: Api
    out: Printer


unmasked_option = click.option(
    "--unmasked", is_flag=True, help="With the sensitive values; it is on record that you saw them."
)


def as_seen(unmasked: bool) -> dict[str, str | None]:
    """What is asked of a resource that has sensitive values."""
    return {"unmasked": "true"} if unmasked else {}


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which server, with which key."""
    for option in reversed(
        (
            click.option("--url", help="Address of the server; else the variable FAIRLEAD_URL."),
            click.option(
                "--profile",
                envvar="FAIRLEAD_CLI_PROFILE",
                show_envvar=True,
                help="Server and key that `fairlead login` saved under this name.",
            ),
            click.option(
                "--key-file",
                type=click.Path(exists=True, dir_okay=False, allow_dash=True),
                help="File with the API key, `-` for standard input; else the variable FAIRLEAD_API_KEY.",
            ),
            click.option(
                "--allow-http",
                is_flag=True,
                envvar="FAIRLEAD_CLI_ALLOW_HTTP",
                show_envvar=True,
                help="Send the key unencrypted, where the network is trusted.",
            ),
        )
    ):
        command = option(command)
    return command


def client_command(body: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
    """A command that speaks to the API: adds the options above and hands over a session."""

    @wraps(body)
    def command(*args: Any, output: Format, **kwargs: Any) -> None:
        names = ("url", "profile", "key_file", "allow_http")
        chosen = {name: kwargs.pop(name) for name in names}
        try:
            target = find(wanted(**chosen), os.environ, Path.cwd())
            with Api(target) as api:
                body(Session(api, Printer(output)), *args, **kwargs)
        except Failure as failure:
            failure.as_document = output in ("json", "yaml")
            raise

    return connection_options(output_option(command))


def wanted(*, url: str | None, profile: str | None, key_file: str | None, allow_http: bool) -> Wanted:
    """Options win over a profile that is named, and that over FAIRLEAD_URL and FAIRLEAD_API_KEY."""
    environment = {} if profile else os.environ
    return Wanted(
        url=url or environment.get("FAIRLEAD_URL") or None,
        key=read_key(key_file) if key_file else environment.get("FAIRLEAD_API_KEY") or None,
        profile=profile,
        allow_http=allow_http,
    )


def read_key(file: str) -> str:
    if file == "-":
        return sys.stdin.read(MAX_KEY_BYTES).strip()
    with Path(file).open() as source:
        return source.read(MAX_KEY_BYTES).strip()
