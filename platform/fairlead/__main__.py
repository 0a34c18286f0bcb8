"""The `fairlead` command: `dev` and `serve` run it, `migrate`, `rebuild`, `replay`, `doctor` and others look after it.

Everything else is a client of the REST API; see `cli/`.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import rich_click as click

from fairlead.cli.client import COMMANDS
from fairlead.cli.exits import Exit
from fairlead.cli.output import Column, Format, Printer, View, console, output_option
from fairlead.cli.program import Program
from fairlead.settings import Settings, from_environment

T = TypeVar("T")

ROLES = ("api", "engine", "worker")
LOGS = "logs"  # within the data directory
_LAZY = {
    "bundle": "fairlead.bundle_commands:bundle",
    "connector": "fairlead.connector_commands:connector",
    "ledger": "fairlead.ledger_commands:ledger",
    "drill": "fairlead.switch_commands:drill",
    "switch": "fairlead.switch_commands:switch",
}

_FINDING = View(
    identity="name",
    columns=(
        Column("LOOKED AT", "name"),
        Column("", "status"),
        Column("FOUND", "detail"),
        Column("TO MEND IT", "mend"),
    ),
)
_REPLAYED = View(
    identity="name",
    columns=(
        Column("NAME", "name"),
        Column("TENANT", "tenant_id"),
        Column("REPLAYED", "done"),
        Column("STILL PARKED", "left"),
        Column("ERROR", "error"),
    ),
)
_TENANT = View(
    identity="tenant_id",
    columns=(Column("TENANT", "tenant_id"), Column("NAME", "name"), Column("CREATED", "created_at")),
)


@click.group(cls=Program, lazy={**COMMANDS, **_LAZY}, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fairlead", message="fairlead %(version)s")
def main() -> None:
    """Fairlead: the control plane for agents that act on real systems."""


def _settings(log_level: str | None = None) -> Settings:
    from fairlead.logs import configure  # a client of the API writes no logs, and starts the sooner

    settings = from_environment(os.environ)
    configure(log_level or settings.log_level, for_good=True)
    return settings


@main.command()
@click.argument("roles", nargs=-1, required=True, type=click.Choice(ROLES))
@click.option("--until-input-ends", is_flag=True, help="Stop when standard input does: for a supervisor's children.")
def serve(roles: tuple[str, ...], until_input_ends: bool) -> None:
    """Run roles against engines named in the environment."""
    from fairlead.running import serve_roles

    _run(serve_roles(_settings(), os.environ, roles), until_input_ends)


@main.command()
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option("-v", "--verbose", is_flag=True, help="Show the logs of all processes here instead of in files.")
def dev(workers: int, verbose: bool) -> None:
    """Everything in one command: engines of our own, API, engine and workers, data under `.fairlead/`."""
    from fairlead.running import develop

    settings = _settings(None if verbose else "warning")
    logs = None if verbose else settings.data_dir / LOGS
    _run(develop(settings, os.environ, workers, _announce, logs))


def _announce(ready: Any) -> None:
    """The one thing that `fairlead dev` says when all is well."""
    lines = [
        f"Fairlead is ready at {ready.url}",
        f"  key    in {ready.key_file}; commands in this directory find it by themselves",
        "  try    fairlead whoami",
        f"  logs   in {ready.logs}" if ready.logs else "  logs   here",
        "  stop   with Ctrl-C; the data stays",
    ]
    click.echo("\n".join(lines))


@main.command()
@click.option("--pre-only", is_flag=True, help="Leave out what the previous version cannot live with.")
def migrate(pre_only: bool) -> None:
    """Bring the database's tables up to date. Safe to run twice and at once."""
    from fairlead import operating

    applied = _carried_out(operating.migrate(_settings("warning"), include_post=not pre_only))
    click.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do")


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every projection, one after the other.")
def rebuild(names: tuple[str, ...], everything: bool) -> None:
    """Make read models anew from the log while readers and writers go on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fairlead import operating

    if bool(names) == everything:
        raise click.UsageError("name projections, or give --all")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        tasks = {}

        def show(name: str, done: int, goal: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=goal)
            progress.update(tasks[name], completed=done, total=goal)

        _carried_out(operating.rebuild_projections(_settings("warning"), names, show))
    click.echo("\n".join(f"rebuilt {name}" for name in tasks))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every projection and process manager.")
@click.option("--tenant", "tenants", multiple=True, metavar="ID", help="Of this tenant only; may be repeated.")
@output_option
def replay(names: tuple[str, ...], everything: bool, tenants: tuple[str, ...], output: Format) -> None:
    """Give parked commits again to the read models and process managers that parked them, once the fault is mended.

    Ends with 0 when none is left, else with 1.
    """
    import msgspec

    from fairlead import replaying

    if bool(names) == everything:
        raise click.UsageError("name projections or process managers, or give --all")
    rows = _carried_out(replaying.replay_parked(_settings("warning"), os.environ, names, tenants))
    Printer(output).many(msgspec.to_builtins(rows), _REPLAYED)
    if any(row.left for row in rows):
        raise SystemExit(Exit.FAILED)


@main.command()
@output_option
@click.option("--strict", is_flag=True, help="Warnings count as failures.")
def doctor(output: Format, strict: bool) -> None:
    """Look over engines, roles, fences, clocks, disk, sandbox and the keys of the vault; say how to mend what is amiss.

    Ends with 0 when nothing fails, else with 1.
    """
    import msgspec

    from fairlead import operating

    findings = _carried_out(operating.examine(_settings("warning")))
    Printer(output).many(msgspec.to_builtins(findings), _FINDING)
    wrong = {"fail", "warn"} if strict else {"fail"}
    if any(finding.status in wrong for finding in findings):
        raise SystemExit(Exit.FAILED)


@main.group()
def tenant() -> None:
    """Tenants of this installation."""


@tenant.command("create")
@click.argument("name")
@click.option("--owner-email", required=True, help="E-mail address of the first owner.")
@click.option("--owner-name", help="Name of the first owner; else the e-mail address.")
@output_option
def create_tenant(name: str, owner_email: str, owner_name: str | None, output: Format) -> None:
    """Create a tenant with its first owner, and print that owner's key: once, it is kept nowhere."""
    import msgspec

    from fairlead import operating

    made = _carried_out(operating.create_tenant(_settings("warning"), name, owner_email, owner_name or owner_email))
    body = {**msgspec.to_builtins(made.founded), "key": made.key}
    Printer(output).one(body, View(identity="key", columns=[Column(field, field) for field in body]))
    if output == "table":
        click.echo("The key is shown this once. `fairlead login` saves it where commands find it.", err=True)


@tenant.command("issue-key")
@click.argument("tenant_id")
@click.argument("principal_id")
@click.option("--environment", default="live", show_default=True, help="Name of the environment that it is for.")
@click.option("--name", default="issued by the operator", show_default=True, help="What the key is called.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 365), help="How long it counts.")
def issue_key(tenant_id: str, principal_id: str, environment: str, name: str, days: int) -> None:
    """Make a key for somebody who has none yet to ask with, and print it: once, it is kept nowhere."""
    from fairlead import operating

    settings = _settings("warning")
    click.echo(_carried_out(operating.issue_key(settings, tenant_id, principal_id, environment, name, days)))


@tenant.command("list")
@output_option
def list_tenants(output: Format) -> None:
    """List the tenants of this installation."""
    import msgspec

    from fairlead import operating

    rows = _carried_out(operating.list_tenants(_settings("warning")))
    Printer(output).many(msgspec.to_builtins(rows), _TENANT)


@main.group()
def vault() -> None:
    """Keys that seal the secrets of connections."""


@vault.command("new-key")
def new_key() -> None:
    """Print a fresh key as a line for the file or variable of keys."""
    from fairlead.adapters.vault.keys import new_line

    click.echo(new_line())


@vault.command("rotate")
@click.option("--new-key", is_flag=True, help="Put a fresh key in front of those in the file first.")
def rotate(new_key: bool) -> None:
    """Seal every secret's key with the first key of the list, while everything goes on.

    Each process must know that key by now. Afterwards the other keys can be taken out.
    """
    from fairlead import operating

    counts: list[int] = []
    key_id = _carried_out(operating.rotate_vault(_settings("warning"), new_key, lambda _, count: counts.append(count)))
    click.echo(f"{sum(counts)} secrets of {len(counts)} tenants are now sealed with {key_id}")


def _carried_out(work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # a client of the API does without, and starts the sooner

    return asyncio.run(work)


def _run(work: Coroutine[Any, Any, None], until_input_ends: bool = False) -> None:
    """Until it is done or told to stop; then it is cancelled and given time to end."""
    import asyncio

    import uvloop

    async def stoppable() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        if until_input_ends:
            loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 1) or task.cancel())
        with contextlib.suppress(asyncio.CancelledError):
            await task

    uvloop.run(stoppable())


if __name__ == "__main__":
    main()
