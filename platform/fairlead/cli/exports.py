"""`fairlead run export` and `fairlead export events`: timelines as files."""

from pathlib import Path
from typing import Any

import rich_click as click
from fairlead_ledger.canonical import parse
from fairlead_ledger.reading import SIDECAR
from msgspec import Struct

from fairlead.cli.downloads import Download, download
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.interventions import run
from fairlead.cli.ledger import size_of
from fairlead.cli.session import Session, as_seen, client_command, unmasked_option
from fairlead.cli.transport import path

EVENTS = "/v1/exports/events"

form_option = click.option(
    "--format", "form", type=click.Choice(("ndjson", "csv", "json")), help="Else by the file's name, or ndjson."
)
file_option = click.option(
    "-f", "--file", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write it."
)
force_option = click.option("--force", is_flag=True, help="Replace the file if there is one.")
proofs_option = click.option("--proofs/--no-proofs", default=True, help="With what proves it; for CSV a file beside.")
receipt_option = click.option(
    "--receipt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed head that was kept: the export then shows that the ledger goes on from there.",
)


class Proving(Struct, frozen=True, kw_only=True):
    unmasked: bool
    proofs: bool
    receipt: Path | None


@click.group()
def export() -> None:
    """Take what happened out of the system, as files."""


@export.command("events")
@click.option("--from", "since", metavar="TIME", required=True, help="First moment, as 2026-01-31T00:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="First moment that no longer belongs to it; else now.")
@click.option("--workflow", metavar="ID", help="Only runs of this workflow.")
@form_option
@file_option
@force_option
@proofs_option
@receipt_option
@unmasked_option
@client_command
def events(
    session: Session,
    /,
    since: str,
    until: str | None,
    workflow: str | None,
    form: str | None,
    file: Path,
    force: bool,
    **proving: Any,
) -> None:
    """Write the events of all runs in a range of time. Called again after a break, it goes on where it was."""
    params = {"from": since, "to": until, "workflow_id": workflow}
    _export(session, EVENTS, params, form, file, force, Proving(**proving))


@run.command("export")
@click.argument("run_id")
@form_option
@file_option
@force_option
@proofs_option
@receipt_option
@unmasked_option
@client_command
def export_run(session: Session, /, run_id: str, form: str | None, file: Path, force: bool, **proving: Any) -> None:
    """Write the timeline of a run to a file."""
    _export(session, path("runs", run_id, "export"), {}, form, file, force, Proving(**proving))


def _export(
    session: Session,
    resource: str,
    params: dict[str, str | None],
    form: str | None,
    file: Path,
    force: bool,
    proving: Proving,
) -> None:
    if file.exists() and not force:
        raise Failure(f"{file} is there already", Exit.REFUSED, details=("--force replaces it",))
    by_name = file.suffix.removeprefix(".")
    chosen = form or (by_name if by_name in ("csv", "json") else "ndjson")
    asked = params | {"format": chosen, "receipt": size_of(proving.receipt), "proofs": str(proving.proofs).lower()}
    asked |= as_seen(proving.unmasked)
    if chosen == "csv" and proving.proofs:
        asked |= _proof_beside(session, resource, asked, file)
    download(session.api, Download(path=resource, params=asked, form=chosen, target=file))
    size = file.stat().st_size
    session.out.done(f"{file} has {size:,} bytes", {"file": str(file), "format": chosen, "bytes": size})


def _proof_beside(session: Session, resource: str, params: dict[str, str | None], file: Path) -> dict[str, str | None]:
    """A table's proof lies beside it. It comes first, and says what the table is to be made from."""
    proof = file.with_name(file.name + SIDECAR)
    download(session.api, Download(path=resource, params=params | {"format": "proof"}, form="proof", target=proof))
    with proof.open("rb") as lines:
        first = next(lines, None)
    if first is None:
        return {}
    block = parse(first).value
    until = block["scope"].get("to", params.get("to"))
    return {"head": str(block["head"]["size"]), **({"to": until} if until else {})}
