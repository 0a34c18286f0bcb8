"""`fairlead access`: who looked at what."""

from pathlib import Path

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.downloads import Download, download
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.record_views import ACCESS
from fairlead.cli.session import Session, client_command
from fairlead.cli.spans import since as moment

ACCESSES = "/v1/access"
KINDS = ("read", "search", "export", "approval", "unmasked", "follow")


@click.group()
def access() -> None:
    """Who read, searched, exported or looked at an approval."""


@access.command("list")
@click.option("--principal", help="Only by this principal.")
@click.option("--object", "of", metavar="PATH", help="Only of this path and all below it: /v1/runs/run_…")
@click.option("--access", "kind", type=click.Choice(KINDS), help="Only of this kind.")
@click.option("--since", help="A time like 2026-03-01T12:00:00Z, or how long ago: 90s, 30m, 12h, 7d.")
@click.option("--until", help="The same; exclusive.")
@limit_option
@client_command
def list_accesses(
    session: Session,
    principal: str | None,
    of: str | None,
    kind: str | None,
    since: str | None,
    until: str | None,
    limit: int,
) -> None:
    """List accesses, the newest first."""
    params = {
        "principal_id": principal,
        "object": of,
        "access": kind,
        "from": moment(since),
        "to": moment(until),
    }
    session.out.many(session.api.pages(ACCESSES, params, limit=limit), ACCESS)


@access.command("export")
@click.option("--from", "since", metavar="TIME", required=True, help="First moment, as 2026-01-31T00:00:00Z, or 7d.")
@click.option("--to", "until", metavar="TIME", help="First moment that no longer belongs to it; else now.")
@click.option("--format", "form", type=click.Choice(("ndjson", "csv")), help="Else by the file's name, or ndjson.")
@click.option(
    "-f", "--file", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write it."
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@client_command
def export(session: Session, since: str, until: str | None, form: str | None, file: Path, force: bool) -> None:
    """Write the accesses of a span of time to a file."""
    if file.exists() and not force:
        raise Failure(f"{file} is there already", Exit.REFUSED, details=("--force replaces it",))
    chosen = form or ("csv" if file.suffix == ".csv" else "ndjson")
    params = {"from": moment(since), "to": moment(until), "format": chosen}
    download(session.api, Download(path=f"{ACCESSES}/export", params=params, form=chosen, target=file))
    session.out.done(f"{file} has {file.stat().st_size:,} bytes", {"file": str(file), "format": chosen})
