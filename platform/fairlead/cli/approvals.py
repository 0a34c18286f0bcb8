"""`fairlead approval`: what waits for a signature, and signing it."""

from typing import Any

import rich_click as click

from fairlead.cli.session import Session, client_command
from fairlead.cli.views import APPROVAL

APPROVALS = "/v1/approvals"


@click.group()
def approval() -> None:
    """See what waits for a signature, and sign or deny it."""


digest_option = click.option(
    "--digest", help="Of what you have seen, from `approval show`; else that of what is there now is shown and signed."
)


@approval.command("list")
@click.option(
    "--status", default="pending", show_default=True, help="pending, granted, denied, expired, withdrawn, all."
)
@click.option("--run", "run_id", help="Only those of this run.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@client_command
def list_approvals(session: Session, status: str, run_id: str | None, limit: int) -> None:
    """List approvals, newest first."""
    params = {"status": None if status == "all" else status, "run_id": run_id}
    session.out.many(session.api.pages(APPROVALS, params, limit=limit), APPROVAL)


@approval.command("show")
@click.argument("approval_id")
@client_command
def show(session: Session, approval_id: str) -> None:
    """Show what would be done, why people are asked, and the evidence."""
    session.out.one(_approval(session, approval_id), APPROVAL)


@approval.command("approve")
@click.argument("approval_id")
@click.option("--comment", default="", help="What the others should know.")
@digest_option
@client_command
def approve(session: Session, approval_id: str, comment: str, digest: str | None) -> None:
    """Sign. What is signed is exactly what `approval show` shows: a later change makes the signature void."""
    _answer(session, approval_id, "approve", comment, digest)


@approval.command("deny")
@click.argument("approval_id")
@click.option("--comment", required=True, help="Why not; the run is told.")
@digest_option
@client_command
def deny(session: Session, approval_id: str, comment: str, digest: str | None) -> None:
    """Refuse."""
    _answer(session, approval_id, "deny", comment, digest)


def _answer(session: Session, approval_id: str, verb: str, comment: str, digest: str | None) -> None:
    seen = digest or _approval(session, approval_id)["digest"]
    body = {"digest": seen, "comment": comment}
    session.out.one(session.api.post(f"{APPROVALS}/{approval_id}/{verb}", body).body, APPROVAL)


def _approval(session: Session, approval_id: str) -> Any:
    return session.api.get(f"{APPROVALS}/{approval_id}").body
