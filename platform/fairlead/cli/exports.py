"""`fairlead run export` and `fairlead export events`: timelines as files."""

from pathlib import Path

import rich_click as click

from fairlead.cli.downloads import Download, download
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.interventions import run
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path

EVENTS = "/v1/exports/events"

form_option = click.option(
    "--format", "form", type=click.Choice(("ndjson", "csv", "json")), help="Else by the file's name, or ndjson."
)
file_option = click.option(
    "-f", "--file", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write it."
)
force_option = click.option("--force", is_flag=True, help="Replace the file if there is one.")


@click.group()
def export() -> None:
    """Take what happened out of the system, as files."""


@export.command("events")
@click.option("--from", "since", metavar="TIME", required=True, help="First moment, as 2026-01-31T00:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="First moment that no longer belongs to it; else now.")
@click.option("--workflow", metavar="ID", help="Only runs of this workflow.")
@form_option
@file_option
@force_option
@client_command
def events(
    session: Session, since: str, until: str | None, workflow: str | None, form: str | None, file: Path, force: bool
) -> None:
    """Write the events of all runs in a range of time. Called again after a break, it goes on where it was."""
    params = {"from": since, "to": until, "workflow_id": workflow}
    _export(session, EVENTS, params, form, file, force)


@run.command("export")
@click.argument("run_id")
@form_option
@file_option
@force_option
@client_command
def export_run(session: Session, run_id: str, form: str | None, file: Path, force: bool) -> None:
    """Write the timeline of a run to a file."""
    _export(session, path("runs", run_id, "export"), {}, form, file, force)


def _export(
    session: Session, resource: str, params: dict[str, str | None], form: str | None, file: Path, force: bool
) -> None:
    if file.exists() and not force:
        raise Failure(f"{file} is there already", Exit.REFUSED, details=("--force replaces it",))
    by_name = file.suffix.removeprefix(".")
    chosen = form or (by_name if by_name in ("csv", "json") else "ndjson")
    download(session.api, Download(path=resource, params=params | {"format": chosen}, form=chosen, target=file))
    size = file.stat().st_size
    session.out.done(f"{file} has {size:,} bytes", {"file": str(file), "format": chosen, "bytes": size})
