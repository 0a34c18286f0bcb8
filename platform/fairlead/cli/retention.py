"""`fairlead retention` and `fairlead hold`: for how long things are kept, and what is kept for longer."""

import rich_click as click

from fairlead.cli.record_views import HOLD, RETENTION
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path

RETENTION_PATH = "/v1/retention"
HOLDS = "/v1/holds"
DAYS = click.Choice(("30", "90", "365"))


@click.group()
def retention() -> None:
    """For how long the content of runs, records of accesses and objects are kept."""


@retention.command("show")
@click.option("--runs-days", type=DAYS, help="Count the runs that this setting would remove.")
@client_command
def show(session: Session, runs_days: str | None) -> None:
    """Show what is set, what counts, and how many runs it would remove."""
    session.out.one(session.api.get(RETENTION_PATH, {"runs_days": runs_days}).body, RETENTION)


@retention.command("set")
@click.option("--runs-days", type=DAYS, help="After the end of a run.")
@click.option("--access-days", type=DAYS, help="After an access.")
@click.option("--objects-days", type=click.Choice(("30", "90", "365", "never")), help="After an object was written.")
@click.option("--ledger-years", type=click.IntRange(1, 7), help="For the leaves of the ledger.")
@reason_option
@client_command
def set_retention(
    session: Session,
    runs_days: str | None,
    access_days: str | None,
    objects_days: str | None,
    ledger_years: int | None,
    reason: str,
) -> None:
    """Set for how long; what is not named stays. What is shorter counts after seven days."""
    found = session.api.get(RETENTION_PATH).body
    body = {**found["settings"], "reason": reason}
    for name, days in (("runs_days", runs_days), ("access_days", access_days), ("objects_days", objects_days)):
        if days is not None:
            body[name] = None if days == "never" else int(days)
    if ledger_years is not None:
        body["ledger_years"] = ledger_years
    headers = {"If-Match": f'"{found["version"]}"'}
    session.out.one(session.api.put(RETENTION_PATH, body, headers).body, RETENTION)


@click.group()
def hold() -> None:
    """Legal holds: what they name is not removed, whatever its age."""


@hold.command("place")
@click.option("--run", "run_id", help="Keep this run.")
@click.option(
    "-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Keep runs with this label; repeatable."
)
@click.option("--everything", is_flag=True, help="Keep everything of the tenant.")
@reason_option
@client_command
def place(session: Session, run_id: str | None, labels: tuple[str, ...], everything: bool, reason: str) -> None:
    """Keep a run, the runs with some labels, or everything, until the hold is released."""
    if sum((run_id is not None, bool(labels), everything)) != 1:
        raise click.UsageError("name a run, labels, or everything")
    if wrong := [label for label in labels if "=" not in label]:
        raise click.UsageError(f"{wrong[0]} is not KEY=VALUE")
    body = {"reason": reason, "run_id": run_id, "labels": dict(label.split("=", 1) for label in labels)}
    session.out.one(session.api.post(HOLDS, body).body, HOLD)


@hold.command("list")
@client_command
def list_holds(session: Session) -> None:
    """List the holds that are open."""
    session.out.many(session.api.pages(HOLDS), HOLD)


@hold.command("release")
@click.argument("hold_id")
@reason_option
@client_command
def release(session: Session, hold_id: str, reason: str) -> None:
    """Release a hold: age decides again."""
    session.api.delete(path("holds", hold_id), {"reason": reason})
