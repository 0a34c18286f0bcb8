"""`fairlead report`: what is counted over many runs."""

from pathlib import Path

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.downloads import Download, download
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.record_views import OVERSIGHT
from fairlead.cli.session import Session, client_command
from fairlead.cli.spans import since as moment

REPORT = "/v1/reports/oversight"


@click.group()
def report() -> None:
    """What is counted over many runs."""


@report.command("oversight")
@click.option("--since", help="Runs started from a time like 2026-03-01T12:00:00Z on, or 7d ago; else 30 days.")
@click.option("--until", help="The same; exclusive.")
@click.option("--workflow", help="Only of this workflow.")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all of it there: .csv, else NDJSON.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@limit_option
@client_command
def oversight(
    session: Session,
    since: str | None,
    until: str | None,
    workflow: str | None,
    file: Path | None,
    force: bool,
    limit: int,
) -> None:
    """How often people look, decide otherwise, and how often it is undone, for each version of each workflow."""
    params = {"from": moment(since), "to": moment(until), "workflow": workflow}
    if file is None:
        session.out.many(session.api.pages(REPORT, params, limit=limit), OVERSIGHT)
        return
    if file.exists() and not force:
        raise Failure(f"{file} is there already", Exit.REFUSED, details=("--force replaces it",))
    form = "csv" if file.suffix == ".csv" else "ndjson"
    download(session.api, Download(path=f"{REPORT}/export", params=params | {"format": form}, form=form, target=file))
    session.out.done(f"{file} has {file.stat().st_size:,} bytes", {"file": str(file), "format": form})
