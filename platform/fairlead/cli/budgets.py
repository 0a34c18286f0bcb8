"""`fairlead budget`: what may be spent, what is reserved now, and what was spent."""

import rich_click as click

from fairlead.cli.output import Column, View
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path

BUDGETS = "/v1/budgets"
SCOPES = click.Choice(("tenant", "workspace", "workflow", "run", "principal"))
MICROS = 1_000_000


def _sum(field: str, of: str = "usd_micros") -> Column:
    def total(budget: dict[str, object]) -> object:
        accounts = budget["accounts"]
        assert isinstance(accounts, list), "a list of accounts"
        return sum(account[field][of] for account in accounts)

    return Column(f"{field} {'µ$' if of == 'usd_micros' else of}".upper(), total, right=True)


BUDGET = View(
    identity="name",
    columns=(
        Column("BUDGET", "name"),
        Column("SCOPE", lambda budget: " ".join(filter(None, (budget["scope"], budget["scope_id"])))),
        Column("PERIOD", "period"),
        Column("CAP µ$", lambda budget: budget["caps"].get("usd_micros"), right=True),
        _sum("reserved"),
        _sum("spent"),
        Column("AT CAP", "at_cap"),
        Column("VERSION", "version", right=True),
    ),
    details=(
        Column("CAP TOKENS", lambda budget: budget["caps"].get("tokens")),
        Column("CAP CALLS", lambda budget: budget["caps"].get("calls")),
        _sum("spent", "tokens"),
        _sum("spent", "calls"),
        Column("SET BY", "set_by"),
        Column("SET AT", "set_at"),
        Column("REASON", "reason"),
    ),
)
ZONE = View(identity="zone", columns=(Column("ZONE", "zone"),))


@click.group()
def budget() -> None:
    """Caps on what runs, workflows, workspaces, principals or the whole tenant may spend."""


@budget.command("list")
@client_command
def list_budgets(session: Session) -> None:
    """List every budget with what is reserved and spent now."""
    session.out.many(session.api.pages(BUDGETS), BUDGET)


@budget.command("show")
@click.argument("name")
@client_command
def show(session: Session, name: str) -> None:
    """Show one budget; `-o json` shows each account."""
    session.out.one(session.api.get(path("budgets", name)).body, BUDGET)


@budget.command("set")
@click.argument("name")
@click.option("--scope", type=SCOPES, required=True, help="Whose spending it caps.")
@click.option("--scope-id", default="", help="Which one, or * for each of them.")
@click.option(
    "--period",
    type=click.Choice(("none", "day", "week", "month")),
    default="none",
    show_default=True,
    help="How long a cap is for.",
)
@click.option("--usd", type=float, help="Dollars.")
@click.option("--tokens", type=click.IntRange(min=0), help="Tokens of models.")
@click.option("--calls", type=click.IntRange(min=0), help="Calls.")
@click.option(
    "--at-cap",
    type=click.Choice(("stop", "ask", "cheaper")),
    default="stop",
    show_default=True,
    help="What a call does that would pass a cap.",
)
@click.option("--if-version", type=click.IntRange(min=0), help="Only if this is its version now; 0: if there is none.")
@reason_option
@client_command
def set_budget(
    session: Session,
    name: str,
    scope: str,
    scope_id: str,
    period: str,
    usd: float | None,
    tokens: int | None,
    calls: int | None,
    at_cap: str,
    if_version: int | None,
    reason: str,
) -> None:
    """Set what may be spent from now on."""
    micros = None if usd is None else round(usd * MICROS)
    caps = {"usd_micros": micros, "tokens": tokens, "calls": calls}
    body = {
        "scope": scope,
        "scope_id": scope_id,
        "period": period,
        "caps": {each: most for each, most in caps.items() if most is not None},
        "at_cap": at_cap,
        "reason": reason,
    }
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
    session.out.one(session.api.put(path("budgets", name), body, headers).body, BUDGET)


@budget.command("top-up")
@click.argument("name")
@click.option("--usd", type=float, default=0.0, help="Dollars.")
@click.option("--tokens", type=click.IntRange(min=0), default=0, help="Tokens of models.")
@click.option("--calls", type=click.IntRange(min=0), default=0, help="Calls.")
@click.option("--subject", default="", help="Whose account, of a budget for each.")
@reason_option
@client_command
def top_up(session: Session, name: str, usd: float, tokens: int, calls: int, subject: str, reason: str) -> None:
    """Give more for this period; calls that wait for it go on."""
    amount = {"usd_micros": round(usd * MICROS), "tokens": tokens, "calls": calls}
    body = {"amount": amount, "subject": subject, "reason": reason}
    session.out.one(session.api.post(f"{path('budgets', name)}/top-ups", body).body, BUDGET)


@budget.command("remove")
@click.argument("name")
@reason_option
@client_command
def remove(session: Session, name: str, reason: str) -> None:
    """Remove a budget: it caps nothing any more."""
    session.api.delete(path("budgets", name), {"reason": reason})


@budget.command("zone")
@click.argument("zone")
@reason_option
@client_command
def zone(session: Session, zone: str, reason: str) -> None:
    """Say where days, weeks and months begin: a zone of the IANA database, as Europe/Berlin."""
    session.out.one(session.api.put("/v1/budget-zone", {"zone": zone, "reason": reason}).body, ZONE)
