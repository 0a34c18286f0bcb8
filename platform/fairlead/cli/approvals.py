"""`fairlead approval`: what waits for a signature, and signing it."""

import sys

import rich_click as click

from fairlead.cli.documents import value_of
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.output import Printer
from fairlead.cli.session import Session, client_command, unmasked_option
from fairlead.cli.transport import path
from fairlead.cli.views.approvals import ANSWERED, APPROVAL, CLAIMED

APPROVALS = "/v1/approvals"

behalf_option = click.option("--for", "on_behalf_of", help="Whoever has delegated their approving to you.")


@click.group()
def approval() -> None:
    """See what waits for a signature, and sign or deny it."""


@approval.command("list")
@click.option(
    "--status",
    default="pending",
    show_default=True,
    help="pending, granted, denied, changes_requested, edited, expired, withdrawn, all.",
)
@click.option("--run", "run_id", help="Only those of this run.")
@click.option("--workflow", help="Only those of runs of this workflow.")
@click.option("--tool", help="Only those for calls of this tool.")
@click.option("--role", help="Only those that this role may answer.")
@click.option("--before", help="Only those requested before this time, like 2026-03-01T00:00:00Z.")
@click.option("--mine", is_flag=True, help="Only those that you have claimed.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@client_command
def list_approvals(
    session: Session,
    status: str,
    run_id: str | None,
    workflow: str | None,
    tool: str | None,
    role: str | None,
    before: str | None,
    mine: bool,
    limit: int,
) -> None:
    """List approvals, newest first."""
    params = {
        "status": None if status == "all" else status,
        "run_id": run_id,
        "workflow": workflow,
        "tool": tool,
        "role": role,
        "requested_before": before,
        "mine": "true" if mine else None,
    }
    session.out.many(session.api.pages(APPROVALS, params, limit=limit), APPROVAL)


@approval.command("show")
@click.argument("approval_id")
@unmasked_option
@client_command
def show(session: Session, approval_id: str, unmasked: bool) -> None:
    """Show what would be done, why people are asked, and the evidence."""
    where = path("approvals", approval_id, "unmasked") if unmasked else path("approvals", approval_id)
    session.out.one(session.api.get(where).body, APPROVAL)


@approval.command("approve")
@click.argument("approval_id")
@click.option("--comment", default="", help="What the others should know.")
@click.option("--digest", help="Of what you have seen, as `approval show` prints it.")
@click.option("-y", "--yes", is_flag=True, help="Sign what is there now, without being shown and asked.")
@behalf_option
@client_command
def approve(
    session: Session, approval_id: str, comment: str, digest: str | None, yes: bool, on_behalf_of: str | None
) -> None:
    """Sign. It is for exactly what was shown: a change in between makes the signature void."""
    seen = digest or _seen_digest(session, approval_id, yes)
    body = {"digest": seen, "comment": comment, "on_behalf_of": on_behalf_of}
    session.out.one(session.api.post(path("approvals", approval_id, "approve"), body).body, ANSWERED)


@approval.command("deny")
@click.argument("approval_id")
@click.option("--comment", required=True, help="Why not; the run is told.")
@behalf_option
@client_command
def deny(session: Session, approval_id: str, comment: str, on_behalf_of: str | None) -> None:
    """Refuse. The call is not made."""
    body = {"comment": comment, "on_behalf_of": on_behalf_of}
    session.out.one(session.api.post(path("approvals", approval_id, "deny"), body).body, ANSWERED)


@approval.command("claim")
@click.argument("approval_id")
@click.option("--minutes", default=15, show_default=True, type=click.IntRange(0, 480), help="0 gives it back.")
@behalf_option
@client_command
def claim(session: Session, approval_id: str, minutes: int, on_behalf_of: str | None) -> None:
    """Look into one: for so long nobody else answers it."""
    body = {"lease_s": minutes * 60, "on_behalf_of": on_behalf_of}
    session.out.one(session.api.post(path("approvals", approval_id, "claim"), body).body, CLAIMED)


@approval.command("request-changes")
@click.argument("approval_id")
@click.option("--comment", required=True, help="What should be otherwise; the run is told.")
@behalf_option
@client_command
def request_changes(session: Session, approval_id: str, comment: str, on_behalf_of: str | None) -> None:
    """Ask for something else. The call is not made."""
    body = {"comment": comment, "on_behalf_of": on_behalf_of}
    session.out.one(session.api.post(path("approvals", approval_id, "request-changes"), body).body, ANSWERED)


@approval.command("edit")
@click.argument("approval_id")
@click.option("-a", "--arguments", required=True, help="All of them: JSON, @file, or - for standard input.")
@click.option("--comment", required=True, help="Why otherwise.")
@click.option("--digest", help="Of what you have seen, as `approval show` prints it.")
@click.option("-y", "--yes", is_flag=True, help="Edit what is there now, without being shown and asked.")
@client_command
def edit(session: Session, approval_id: str, arguments: str, comment: str, digest: str | None, yes: bool) -> None:
    """Give the call other arguments. Policy judges it again; where that asks for people, others than you sign."""
    given, seen = value_of(arguments), digest or _seen_digest(session, approval_id, yes)
    body = {"digest": seen, "arguments": given, "comment": comment}
    session.out.one(session.api.post(path("approvals", approval_id, "edit"), body).body, ANSWERED)


def _seen_digest(session: Session, approval_id: str, yes: bool) -> str:
    """A person signs what they have been shown."""
    found = session.api.get(path("approvals", approval_id)).body
    if not yes:
        if not sys.stdin.isatty():
            details = ("name what you have seen with --digest, or sign what is there now with --yes",)
            raise Failure("nobody is here to look at it", Exit.USAGE, details=details)
        Printer("table", stderr=True).one(found, APPROVAL)
        if not click.confirm("Sign this?", err=True):
            raise Failure("nothing was signed")
    return str(found["digest"])
