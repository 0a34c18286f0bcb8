"""`fairlead webhook`: addresses that are told what happens."""

import time
from pathlib import Path
from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.places import environment_id, workspace_id
from fairlead.cli.private_files import write_private
from fairlead.cli.record_views import DELIVERY, WEBHOOK, WEBHOOK_ASKED, WEBHOOK_SECRET
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.spans import since as moment
from fairlead.cli.transport import path

WEBHOOKS = "/v1/webhooks"
WAIT_S = 30.0
ASK_EVERY_S = 0.5

file_option = click.option(
    "--to-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the secret into this new file, for its owner only, and do not show it.",
)
wait_option = click.option("--wait", is_flag=True, help=f"Wait up to {WAIT_S:g} s for the first attempt, and show it.")
events_option = click.option(
    "--event",
    "events",
    multiple=True,
    help="A type, `run.*` for all that begin so, or `*`; may be given more than once.",
)


@click.group()
def webhook() -> None:
    """Addresses of yours that are told what happens, signed by Standard Webhooks."""


@webhook.command("create")
@click.argument("address")
@events_option
@click.option("--description", default="", help="What it is for.")
@click.option("--workspace", help="Only events of runs there: name or id.")
@click.option("--environment", help="Only events of runs there: name or id.")
@click.option("--workflow-id", help="Only events of runs of this workflow.")
@file_option
@client_command
def create(
    session: Session,
    address: str,
    events: tuple[str, ...],
    description: str,
    workspace: str | None,
    environment: str | None,
    workflow_id: str | None,
    to_file: Path | None,
) -> None:
    """Make a webhook. Its secret is shown this once."""
    body = {
        "url": address,
        "events": list(events) or ["*"],
        "description": description,
        "workspace_id": workspace_id(session.api, workspace) if workspace else None,
        "environment_id": environment_id(session.api, environment),
        "workflow_id": workflow_id,
    }
    _hand_over(session, WEBHOOKS, body, to_file)


@webhook.command("list")
@click.option("--status", type=click.Choice(["enabled", "disabled"]), help="Only these.")
@limit_option
@client_command
def list_webhooks(session: Session, status: str | None, limit: int) -> None:
    """List webhooks, and how they fare."""
    session.out.many(session.api.pages(WEBHOOKS, {"status": status}, limit=limit), WEBHOOK)


@webhook.command("show")
@click.argument("webhook_id")
@client_command
def show(session: Session, webhook_id: str) -> None:
    """Show one webhook, how it fares and how much waits for it."""
    session.out.one(session.api.get(path("webhooks", webhook_id)).body, WEBHOOK)


@webhook.command("change")
@click.argument("webhook_id")
@click.option("--address", help="Where it is from now on.")
@events_option
@click.option("--description", help="What it is for.")
@client_command
def change(
    session: Session, webhook_id: str, address: str | None, events: tuple[str, ...], description: str | None
) -> None:
    """Change address, events or description. What waits goes to the new address."""
    given = {"url": address, "events": list(events) or None, "description": description}
    body = {name: value for name, value in given.items() if value is not None}
    session.out.one(session.api.patch(path("webhooks", webhook_id), body).body, WEBHOOK)


@webhook.command("rotate")
@click.argument("webhook_id")
@click.option(
    "--overlap-hours", default=24, show_default=True, type=click.IntRange(0, 168), help="Both secrets sign as long."
)
@file_option
@client_command
def rotate(session: Session, webhook_id: str, overlap_hours: int, to_file: Path | None) -> None:
    """Make the successor of the secret. It is shown this once."""
    _hand_over(session, path("webhooks", webhook_id, "rotate"), {"overlap_s": overlap_hours * 60 * 60}, to_file)


@webhook.command("test")
@click.argument("webhook_id")
@wait_option
@client_command
def test(session: Session, webhook_id: str, wait: bool) -> None:
    """Send a test event."""
    asked = session.api.post(path("webhooks", webhook_id, "test"), {}).body
    if wait:
        _show_attempt(session, webhook_id, asked["position"])
    else:
        session.out.one(asked, WEBHOOK_ASKED)


@webhook.command("replay")
@click.argument("webhook_id")
@click.option("--position", help="One event.")
@click.option("--after", help="Everything after this position.")
@click.option("--since", help="Everything since a time (2026-11-21T09:00:00Z), or a while ago (90m, 12h, 7d).")
@client_command
def replay(session: Session, webhook_id: str, position: str | None, after: str | None, since: str | None) -> None:
    """Send one event again, or everything since then, under the ids of the first time."""
    body = {"position": position, "after": after, "since": moment(since)}
    session.out.one(session.api.post(path("webhooks", webhook_id, "replay"), body).body, WEBHOOK_ASKED)


@webhook.command("deliveries")
@click.argument("webhook_id")
@click.option("--status", type=click.Choice(["waiting", "delivered", "dropped"]), help="Only these.")
@click.option("--position", help="Only of this event.")
@limit_option
@client_command
def deliveries(session: Session, webhook_id: str, status: str | None, position: str | None, limit: int) -> None:
    """List what waits and what was sent, the newest first."""
    params = {"status": status, "position": position}
    session.out.many(session.api.pages(path("webhooks", webhook_id, "deliveries"), params, limit=limit), DELIVERY)


@webhook.command("disable")
@click.argument("webhook_id")
@reason_option
@client_command
def disable(session: Session, webhook_id: str, reason: str) -> None:
    """Send nothing until it is enabled again."""
    session.out.one(session.api.post(path("webhooks", webhook_id, "disable"), {"reason": reason}).body, WEBHOOK)


@webhook.command("enable")
@click.argument("webhook_id")
@client_command
def enable(session: Session, webhook_id: str) -> None:
    """Go on where it stood."""
    session.out.one(session.api.post(path("webhooks", webhook_id, "enable"), {}).body, WEBHOOK)


@webhook.command("remove")
@click.argument("webhook_id")
@reason_option
@client_command
def remove(session: Session, webhook_id: str, reason: str) -> None:
    """End it for good. Its secret is erased, and what waits is not sent."""
    session.api.delete(path("webhooks", webhook_id), {"reason": reason})
    session.out.done(f"{webhook_id} is removed")


def _show_attempt(session: Session, webhook_id: str, position: str) -> None:
    """Ends with a failure when nothing was taken."""
    until = time.monotonic() + WAIT_S
    while True:
        found = session.api.get(path("webhooks", webhook_id, "deliveries"), {"position": position}).body["items"]
        if found and found[0]["attempts"]:
            break
        if time.monotonic() > until:
            raise Failure(f"nothing was sent within {WAIT_S:g} s; is a worker running?", Exit.REFUSED)
        time.sleep(ASK_EVERY_S)
    session.out.one(found[0], DELIVERY)
    if found[0]["status"] != "delivered":
        raise Failure(f"the receiver did not take it: {found[0]['error']}", Exit.REFUSED)


def _hand_over(session: Session, resource: str, body: dict[str, Any], to_file: Path | None) -> None:
    """To the file before anything is shown: a secret that is lost here is lost for good."""
    if to_file is not None and to_file.exists():
        raise Failure(f"{to_file} is there already", Exit.REFUSED)
    made = session.api.post(resource, body).body
    if made["secret"] is None:
        details = (f"fairlead webhook rotate {made['webhook_id']} makes another",)
        raise Failure("it was made, but its secret was lost on the way", details=details)
    if to_file is not None:
        write_private(to_file, made["secret"].encode() + b"\n")
        made = {**made, "secret": f"in {to_file}"}
    session.out.one(made, WEBHOOK_SECRET)
