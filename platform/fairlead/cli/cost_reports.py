"""`fairlead report costs`, `success-costs` and `margins`: what calls have cost and what they brought in."""

from pathlib import Path
from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.downloads import Download, download
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.output import Column, View
from fairlead.cli.session import Session, client_command
from fairlead.cli.spans import since as moment

REPORTS = "/v1/reports"
BY = ("tenant", "workflow", "run", "call", "route", "provider", "model", "tool", "principal", "agent", "day")
COST = View(
    identity="key",
    columns=(
        Column("OF", lambda row: row["key"] or "-"),
        Column("NAME", "name"),
        Column("RUNS", "runs", right=True),
        Column("MODEL CALLS", "model_calls", right=True),
        Column("TOKENS IN", "input_tokens", right=True),
        Column("OUT", "output_tokens", right=True),
        Column("MODELS µ$", "model_cost_usd_micros", right=True),
        Column("TOOLS µ$", "tool_cost_usd_micros", right=True),
        Column("COST µ$", "cost_usd_micros", right=True),
        Column("SAVED µ$", "saved_usd_micros", right=True),
    ),
)


def _change(row: dict[str, Any]) -> str:
    if row["change"] is None:
        return ""
    return f"{row['change']:+.0%}" + (" !" if row["is_regression"] else "")


SUCCESS = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_name"),
        Column("RUNS", "runs", right=True),
        Column("SUCCESSFUL", "successful_runs", right=True),
        Column("VERIFIED", "verified_runs", right=True),
        Column("CALLS µ$", "call_cost_usd_micros", right=True),
        Column("REVIEW µ$", "review_cost_usd_micros", right=True),
        Column("A SUCCESS µ$", "cost_per_success_usd_micros", right=True),
        Column("BEFORE µ$", "previous_cost_per_success_usd_micros", right=True),
        Column("CHANGE", _change, right=True),
    ),
)
MARGIN = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_name"),
        Column("ACCOUNT", "account"),
        Column("RUNS", "runs", right=True),
        Column("SUCCESSFUL", "successful_runs", right=True),
        Column("REVENUE µ$", "revenue_usd_micros", right=True),
        Column("CALLS µ$", "call_cost_usd_micros", right=True),
        Column("REVIEW µ$", "review_cost_usd_micros", right=True),
        Column("MARGIN µ$", lambda row: f"{row['margin_usd_micros']}{' !' if row['is_negative'] else ''}", right=True),
    ),
)
since_option = click.option("--since", help="From a time like 2026-03-01T12:00:00Z on, or 7d ago; else seven days.")
until_option = click.option("--until", help="The same; exclusive.")
workflow_option = click.option("--workflow", help="Only of this workflow.")
file_option = click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all of it there: .csv, else NDJSON.",
)
gate_option = click.option("--gate", is_flag=True, help="Exit with 9 where something is flagged, for schedules.")
force_option = click.option("--force", is_flag=True, help="Replace the file if there is one.")


@click.command("costs")
@click.option("--by", type=click.Choice(BY), default="workflow", show_default=True, help="What is added up by.")
@since_option
@until_option
@workflow_option
@click.option("--run", help="Only of this run.")
@file_option
@force_option
@limit_option
@client_command
def costs(
    session: Session,
    by: str,
    since: str | None,
    until: str | None,
    workflow: str | None,
    run: str | None,
    file: Path | None,
    force: bool,
    limit: int,
) -> None:
    """What calls of models and tools have cost."""
    params = {"by": by, "from": moment(since), "to": moment(until), "workflow": workflow, "run_id": run}
    shown(session, f"{REPORTS}/costs", params, COST, file, force, limit)


@click.command("success-costs")
@since_option
@until_option
@workflow_option
@file_option
@force_option
@gate_option
@limit_option
@client_command
def success_costs(
    session: Session,
    since: str | None,
    until: str | None,
    workflow: str | None,
    file: Path | None,
    force: bool,
    limit: int,
    gate: bool,
) -> None:
    """What a success of each workflow costs, failures and reviews included; ! where it is over a fifth more."""
    params = {"from": moment(since), "to": moment(until), "workflow": workflow}
    shown(session, f"{REPORTS}/success-costs", params, SUCCESS, file, force, limit, "is_regression" if gate else None)


@click.command("margins")
@since_option
@until_option
@workflow_option
@file_option
@force_option
@gate_option
@limit_option
@client_command
def margins(
    session: Session,
    since: str | None,
    until: str | None,
    workflow: str | None,
    file: Path | None,
    force: bool,
    limit: int,
    gate: bool,
) -> None:
    """What outcomes have brought in, and what is left of it; ! where it is less than nothing."""
    params = {"from": moment(since), "to": moment(until), "workflow": workflow}
    shown(session, f"{REPORTS}/margins", params, MARGIN, file, force, limit, "is_negative" if gate else None)


def shown(
    session: Session,
    report: str,
    params: dict[str, str | None],
    view: View,
    file: Path | None,
    force: bool,
    limit: int,
    flag: str | None = None,
) -> None:
    """As a table, or all of it in a file. `flag` names what a gate looks at."""
    if file is not None:
        _written(session, report, params, file, force)
    if file is None or flag is not None:
        rows: list[Any] = list(session.api.pages(report, params, limit=limit))
        if file is None:
            session.out.many(rows, view)
        flagged = [row["workflow_name"] for row in rows if flag is not None and row[flag]]
        if flagged:
            raise Failure(f"{len(flagged)} flagged", Exit.FLAGGED, details=tuple(dict.fromkeys(flagged)))


def _written(session: Session, report: str, params: dict[str, str | None], file: Path, force: bool) -> None:
    if file.exists() and not force:
        raise Failure(f"{file} is there already", Exit.REFUSED, details=("--force replaces it",))
    form = "csv" if file.suffix == ".csv" else "ndjson"
    asked = {**params, "format": form}
    download(session.api, Download(path=f"{report}/export", params=asked, form=form, target=file))
    session.out.done(f"{file} has {file.stat().st_size:,} bytes", {"file": str(file), "format": form})
