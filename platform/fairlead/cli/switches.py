"""`fairlead switch on | off | list`: what a tenant stops."""

import re
from datetime import UTC, datetime, timedelta

import rich_click as click

from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.brakes import DRILL, SWITCH

SWITCHES = "/v1/switches"
MODES = ("stop_starts", "pause_runs", "deny_writes", "deny_all")
_LIFE = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

mode_option = click.option(
    "--mode",
    "modes",
    multiple=True,
    required=True,
    type=click.Choice(MODES),
    help="What is stopped: new runs, runs under way, writes, or every call. May be repeated.",
)
life_option = click.option("--for", "life", metavar="30m", help="Released by itself after so many s, m, h or d.")
why_option = click.option("--reason", required=True, help="Why; everybody who is stopped reads it.")
off_option = click.option("--reason", default="released", show_default=True, help="Kept with the release.")


@client_command
def on(session: Session, target: str, modes: tuple[str, ...], reason: str, life: str | None) -> None:
    ends = lifetime(life)
    body = {
        "modes": list(modes),
        "reason": reason,
        "expires_at": (datetime.now(UTC) + ends).isoformat() if ends is not None else None,
    }
    session.out.one(session.api.put(path("switches", target), body).body, SWITCH)


@client_command
def off(session: Session, target: str, reason: str) -> None:
    """Let go on what a switch stopped."""
    session.api.delete(path("switches", target), {"reason": reason})


@client_command
def listed(session: Session) -> None:
    """List the switches that are on: yours, and those of the installation that stop you too."""
    session.out.many(session.api.pages(SWITCHES), SWITCH)


@client_command
def drills(session: Session) -> None:
    """List how fast switches stopped what they are for, when that was tried."""
    session.out.many(session.api.pages(f"{SWITCHES}/drills"), DRILL)


def lifetime(text: str | None) -> timedelta | None:
    """`30m` and the like."""
    if text is None:
        return None
    found = _LIFE.fullmatch(text)
    if found is None:
        raise click.UsageError(f"{text} is no time like 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
