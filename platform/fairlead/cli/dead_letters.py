"""`fairlead dead-letter`: calls that failed for good, and effects that could not be undone."""

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import value_of
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, as_seen, client_command, unmasked_option
from fairlead.cli.transport import path
from fairlead.cli.views.runs import LETTER, LETTER_ANSWER

LETTERS = "/v1/dead-letters"


@click.group("dead-letter")
def dead_letter() -> None:
    """Calls that failed for good, and effects that could not be undone: look, mend, replay, discard."""


@dead_letter.command("list")
@click.option(
    "--status", default="open", show_default=True, help="open, replaying, done, replayed_as_run, discarded, all."
)
@click.option("--kind", type=click.Choice(["call", "undo"]), help="Only calls, or only effects to be undone.")
@click.option("--run", "run_id", help="Only those of this run.")
@click.option("--tool", help="Only calls of this tool.")
@click.option("--code", help="Only failures of this code.")
@limit_option
@client_command
def list_letters(
    session: Session,
    status: str,
    kind: str | None,
    run_id: str | None,
    tool: str | None,
    code: str | None,
    limit: int,
) -> None:
    """List dead letters, newest failure first."""
    wanted = None if status == "all" else status
    params = {"status": wanted, "kind": kind, "run_id": run_id, "tool": tool, "code": code}
    session.out.many(session.api.pages(LETTERS, params, limit=limit), LETTER)


@dead_letter.command("show")
@click.argument("letter_id")
@unmasked_option
@client_command
def show(session: Session, letter_id: str, unmasked: bool) -> None:
    """Show what failed, with which arguments, why, and what has become of it."""
    session.out.one(session.api.get(path("dead-letters", letter_id), as_seen(unmasked)).body, LETTER)


@dead_letter.command("edit")
@click.argument("letter_id")
@click.option("-a", "--arguments", required=True, help="All of them: JSON, @file, or - for standard input.")
@reason_option
@client_command
def edit(session: Session, letter_id: str, arguments: str, reason: str) -> None:
    """Give the call other arguments. It is made by `replay`."""
    body = {"arguments": value_of(arguments), "reason": reason}
    session.out.one(session.api.post(path("dead-letters", letter_id, "edit"), body).body, LETTER_ANSWER)


@dead_letter.command("replay")
@click.argument("letter_id")
@click.option(
    "--under", "key", type=click.Choice(["same", "new"]), help="Which idempotency key; the same unless it was edited."
)
@reason_option
@client_command
def replay(session: Session, letter_id: str, key: str | None, reason: str) -> None:
    """Make the call again: in its run, or in a fork of it where the run has ended."""
    body = {"key": key, "reason": reason}
    session.out.one(session.api.post(path("dead-letters", letter_id, "replay"), body).body, LETTER_ANSWER)


@dead_letter.command("discard")
@click.argument("letter_id")
@reason_option
@client_command
def discard(session: Session, letter_id: str, reason: str) -> None:
    """Say that nobody needs to look at it any more."""
    session.out.one(
        session.api.post(path("dead-letters", letter_id, "discard"), {"reason": reason}).body, LETTER_ANSWER
    )
