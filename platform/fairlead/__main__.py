"""The `fairlead` command: `dev` and `serve` run it, `migrate`, `rebuild`, `doctor` and `tenant` look after it.

Everything else is a client of the REST API; see `cli/`.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import rich_click as click

from fairlead.cli.client import client
from fairlead.domain.errors import FairleadError
from fairlead.logs import configure
from fairlead.settings import Settings, from_environment

ROLES = ("api", "engine", "worker")
FAILED = 1


@click.group()
def main() -> None:
    """Fairlead: the control plane for agents that act on real systems."""


main.add_command(client)


def _settings() -> Settings:
    settings = from_environment(os.environ)
    configure(settings.log_level)
    return settings


@main.command()
@click.argument("roles", nargs=-1, required=True, type=click.Choice(ROLES))
@click.option("--until-input-ends", is_flag=True, help="Stop when standard input does: for a supervisor's children.")
def serve(roles: tuple[str, ...], until_input_ends: bool) -> None:
    """Run roles against engines named in the environment."""
    from fairlead.running import serve_roles

    _run(serve_roles(_settings(), os.environ, roles), until_input_ends)


@main.command()
@click.option("--workers", default=2, show_default=True, help="Worker processes.")
def dev(workers: int) -> None:
    """Everything in one command: engines of our own, API, engine and workers, data under `.fairlead/`."""
    from fairlead.running import develop

    _run(develop(_settings(), os.environ, workers))


def _run(work: Coroutine[Any, Any, None], until_input_ends: bool = False) -> None:
    """Until it is done or told to stop; then it is cancelled and given time to end."""
    import uvloop

    async def stoppable() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        if until_input_ends:
            loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 1) or task.cancel())
        with contextlib.suppress(asyncio.CancelledError):
            await task

    try:
        uvloop.run(stoppable())
    except FairleadError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
