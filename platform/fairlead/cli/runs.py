"""`fairlead run`: start runs, watch them, and step in."""

import time
from collections.abc import Callable
from typing import Any

import rich_click as click

from fairlead.cli.documents import pairs, value_of
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.following import Wait, live_events, say_nothing, tell, wait_for
from fairlead.cli.places import environment_id, workflow_names
from fairlead.cli.session import Session, as_seen, client_command, unmasked_option
from fairlead.cli.transport import path
from fairlead.cli.views.runs import ANSWER, CALL, EVENT, RUN

RUNS = "/v1/runs"


@click.group()
def run() -> None:
    """Start runs, watch them, and step in."""


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--timeout", type=click.FloatRange(min=0.1), help="Seconds to wait at most; the run goes on."),
        click.option("--stop-for-person", is_flag=True, help="Stop waiting when the run waits for a person."),
        click.option("-q", "--quiet", is_flag=True, help="Do not tell what happens meanwhile."),
    )
    for option in reversed(options):
        command = option(command)
    return command


workspace_option = click.option("--workspace", help="Name or id; else the only one, or the one called default.")
reason_option = click.option("--reason", required=True, help="Why; it is on the timeline for good.")


@run.command("start")
@click.argument("workflow")
@click.option("-i", "--input", "given", default="{}", help="JSON, @file (JSON or YAML), or - for standard input.")
@click.option("--version", type=click.IntRange(min=1), help="Version of the workflow; else the newest.")
@workspace_option
@click.option("--environment", help="Name or id of the environment to run in, where the key stands in none.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="May be given more than once.")
@click.option("--subject", "data_subject", help="Whom the run is about, as customer:4711: for erasures.")
@click.option("--idempotency-key", help="The same key starts the same run once, for a day.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the end of the run, and tell what happens.")
@wait_options
@client_command
def start(
    session: Session,
    workflow: str,
    given: str,
    version: int | None,
    workspace: str | None,
    environment: str | None,
    labels: tuple[str, ...],
    data_subject: str | None,
    idempotency_key: str | None,
    waits: bool,
    timeout: float | None,
    stop_for_person: bool,
    quiet: bool,
) -> None:
    """Start a run of WORKFLOW, which is a name or an id."""
    body = {
        **workflow_names(session.api, workflow, workspace),
        "input": value_of(given),
        "labels": pairs(labels),
        "data_subject": data_subject,
        "version": version,
        "environment_id": environment_id(session.api, environment),
    }
    begun = session.api.post(RUNS, body, idempotency_key=idempotency_key).body
    if waits:
        _wait(session, begun["run_id"], timeout, stop_for_person, quiet)
    else:
        session.out.one(begun, ANSWER)


@run.command("wait")
@click.argument("run_id")
@wait_options
@client_command
def wait(session: Session, run_id: str, timeout: float | None, stop_for_person: bool, quiet: bool) -> None:
    """Wait for a run to end. The exit code says how it ended."""
    _wait(session, run_id, timeout, stop_for_person, quiet)


def _wait(session: Session, run_id: str, timeout: float | None, stop_for_person: bool, quiet: bool) -> None:
    ends_at = None if timeout is None else time.monotonic() + timeout
    wait = Wait(ends_at=ends_at, stop_for_person=stop_for_person)
    found, code = wait_for(session.api, run_id, wait, say_nothing if quiet else tell)
    session.out.one(found, RUN)
    if code != Exit.OK:
        raise SystemExit(code)


@run.command("list")
@click.option("--status", help="Only runs of this status.")
@click.option("--compensation", help="Only runs whose undoing is so far, as waiting_for_person.")
@click.option("--workflow", metavar="ID", help="Only runs of this workflow.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only runs with this label.")
@click.option("--since", metavar="TIME", help="Only runs started at or after this time, as 2026-01-31T08:00:00Z.")
@click.option("--until", metavar="TIME", help="Only runs started before this time.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@client_command
def list_runs(
    session: Session,
    status: str | None,
    compensation: str | None,
    workflow: str | None,
    labels: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int,
) -> None:
    """List runs, newest first."""
    params = {
        "status": status,
        "compensation": compensation,
        "workflow_id": workflow,
        "label": label_of(labels),
        "started_from": since,
        "started_to": until,
    }
    session.out.many(session.api.pages(RUNS, params, limit=limit), RUN)


def label_of(labels: tuple[str, ...]) -> str | None:
    """As the API names a label; runs are found by one."""
    found = pairs(labels)
    if len(found) > 1:
        raise Failure("runs are found by one label", Exit.USAGE)
    return next((f"{name}:{value}" for name, value in found.items()), None)


@run.command("show")
@click.argument("run_id")
@unmasked_option
@client_command
def show(session: Session, run_id: str, unmasked: bool) -> None:
    """Show a run: its status, what it waits for, what went in and came out."""
    session.out.one(session.api.get(path("runs", run_id), as_seen(unmasked)).body, RUN)


@run.command("timeline")
@click.argument("run_id")
@click.option("--follow", is_flag=True, help="Go on with what happens, until the run ends and has undone what it did.")
@unmasked_option
@client_command
def timeline(session: Session, run_id: str, follow: bool, unmasked: bool) -> None:
    """Show what happened in a run, event by event."""
    if follow and unmasked:
        raise Failure("what is followed is masked: look at it without --follow", Exit.USAGE)
    if not follow:
        session.out.many(session.api.pages(path("runs", run_id, "timeline"), as_seen(unmasked)), EVENT)
        return
    for event in live_events(session.api, run_id, to_the_last=True):
        session.out.line(event, tell)


@run.command("calls")
@click.argument("run_id")
@unmasked_option
@client_command
def calls(session: Session, run_id: str, unmasked: bool) -> None:
    """List the tool calls of a run."""
    session.out.many(session.api.pages(path("runs", run_id, "tool-calls"), as_seen(unmasked)), CALL)


@run.command("state")
@click.argument("run_id")
@click.option("--at", type=click.IntRange(min=1), help="Version of the run: its events are numbered from 1.")
@unmasked_option
@client_command
def state(session: Session, run_id: str, at: int | None, unmasked: bool) -> None:
    """Show a run's state as it was at one of its events."""
    session.out.document(session.api.get(path("runs", run_id, "state"), {"at": at, **as_seen(unmasked)}).body)


@run.command("fork")
@click.argument("run_id")
@click.option("--at", required=True, type=click.IntRange(min=1), help="The last version that the new run begins with.")
@reason_option
@client_command
def fork(session: Session, run_id: str, at: int, reason: str) -> None:
    """Start a new run from a point in the history of another."""
    session.out.one(session.api.post(path("runs", run_id, "fork"), {"at_version": at, "reason": reason}).body, ANSWER)
