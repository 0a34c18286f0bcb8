"""`fairlead report`: what is counted over many runs."""

from pathlib import Path

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.cost_reports import costs, margins, shown, success_costs
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
    shown(session, REPORT, params, OVERSIGHT, file, force, limit)


for _command in (costs, success_costs, margins):
    report.add_command(_command)
