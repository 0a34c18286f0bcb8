"""`fairlead price`: what calls of models cost, the tenant's own contracts before the table that ships."""

from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import document_in
from fairlead.cli.output import Column, View
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import Params, path
from fairlead.cli.views.policies import POLICY_CHANGE

PRICES = "/v1/prices"
PUBLISHED = View(identity="version", columns=(Column("VERSION", "version"), Column("SHA-256", "document_hash")))
VERSION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("PUBLISHED", "published_at"),
        Column("BY", lambda version: version["author"]["id"]),
        Column("REASON", "reason"),
    ),
    details=(Column("SHA-256", "document_hash"), Column("DOCUMENT", "document")),
)


def _rate(name: str) -> Column:
    return Column(f"{name.replace('_', ' ').upper()} µ$", lambda found: found["rates"].get(name), right=True)


PRICE = View(
    identity="price_version",
    columns=(
        Column("BY", "price_version"),
        Column("MODEL", lambda found: found["rates"]["model"]),
        Column("SINCE", lambda found: found["rates"]["valid_from"]),
        *(_rate(name) for name in ("input", "cached_input", "cache_write", "output")),
    ),
)


@click.group()
def price() -> None:
    """What calls of models cost."""


@price.command("publish")
@click.argument("file")
@reason_option
@click.option("--follows", type=click.IntRange(min=0), help="Only if this is the newest version; 0 for none yet.")
@client_command
def publish(session: Session, file: str, reason: str, follows: int | None) -> None:
    """Publish the document in FILE (JSON or YAML, - for standard input): it counts for calls from now on."""
    document = document_in(file)
    match = {} if follows is None else {"If-None-Match": "*"} if follows == 0 else {"If-Match": f'"{follows}"'}
    sent = session.api.send("PUT", PRICES, document.body, document.media_type, {"reason": reason}, match)
    session.out.one(sent.body, PUBLISHED)


@price.command("show")
@click.option("--version", type=click.IntRange(min=1), help="This version; else the newest.")
@client_command
def show(session: Session, version: int | None) -> None:
    """Show the tenant's own prices."""
    place = PRICES if version is None else path("prices", "versions", str(version))
    session.out.one(session.api.get(place).body, VERSION)


@price.command("versions")
@limit_option
@client_command
def versions(session: Session, limit: int) -> None:
    """List every version ever published, newest first."""
    session.out.many(session.api.pages(path("prices", "versions"), {}, limit=limit), VERSION)


@price.command("diff")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--base", type=click.IntRange(min=0), help="Compare with this version; else with the one before.")
@client_command
def diff(session: Session, version: int, base: int | None) -> None:
    """Show what a version changed."""
    params: Params = {"base": base}
    found: Any = session.api.get(path("prices", "versions", str(version), "difference"), params).body
    session.out.many(iter(found["changes"]), POLICY_CHANGE)


@price.command("rollback")
@click.option("--to", "to_version", type=click.IntRange(min=1), required=True, help="This version.")
@reason_option
@client_command
def rollback(session: Session, to_version: int, reason: str) -> None:
    """Publish an earlier version's document again."""
    body = {"reason": reason, "to_version": to_version}
    session.out.one(session.api.post(path("prices", "rollback"), body).body, PUBLISHED)


@price.command("lookup")
@click.argument("provider")
@click.argument("model")
@click.option("--host", default="", help="The server's name, for a connector that may speak to many.")
@client_command
def lookup(session: Session, provider: str, model: str, host: str) -> None:
    """Say what a call of MODEL costs now, and by which table."""
    params: Params = {"provider": provider, "model": model, "host": host}
    session.out.one(session.api.get(path("prices", "lookup"), params).body, PRICE)
