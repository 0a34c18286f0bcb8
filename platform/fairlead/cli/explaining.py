"""`fairlead why`, `fairlead run report`, `fairlead case`: what an action goes back to, and what people say of it."""

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import value_of
from fairlead.cli.exits import Exit
from fairlead.cli.exports import force_option
from fairlead.cli.failures import Failure
from fairlead.cli.interventions import run
from fairlead.cli.plain import plain
from fairlead.cli.private_files import write_private
from fairlead.cli.record_views import CASE
from fairlead.cli.session import Session, as_seen, client_command, unmasked_option
from fairlead.cli.transport import path

__all__ = ["run"]  # the group that these commands are added to

CASES = "/v1/cases"
LABELS = (
    "wrong_action",
    "wrong_result",
    "unsafe",
    "should_have_asked",
    "asked_needlessly",
    "too_slow",
    "too_costly",
    "other",
)
MAX_SHOWN = 100  # characters of a fact in the tree; -o json has all of it

bundle_file = click.option(
    "-f", "--file", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write it."
)
label_option = click.option("--label", type=click.Choice(LABELS), required=True, help="What went wrong.")


@click.command("why")
@click.argument("of", metavar="CALL_OR_RUN")
@unmasked_option
@client_command
def why(session: Session, of: str, unmasked: bool) -> None:
    """Show why a call was made, or why a run ended so: a tree of events, each with its position."""
    resource = path("tool-calls", of, "why") if of.startswith("tcl_") else path("runs", of, "why")
    found = session.api.get(resource, as_seen(unmasked)).body
    if session.out.form == "table":
        for line in _lines(found, 0):
            click.echo(plain(line))
    else:
        session.out.document(found)


@run.command("bundle")
@click.argument("run_id")
@bundle_file
@force_option
@unmasked_option
@client_command
def bundle(session: Session, run_id: str, file: Path, force: bool, unmasked: bool) -> None:
    """Write a run with all that decided about it to a file, for `fairlead bundle replay`."""
    _write(session, path("runs", run_id, "bundle"), file, force, unmasked)


@run.command("report")
@click.argument("run_id")
@label_option
@click.option("--comment", default="", help="What went wrong, in your words.")
@click.option("--call", "call_id", help="The call that was wrong.")
@click.option("--expected", help="What would have been right: JSON, @file, or - for standard input.")
@client_command
def report(session: Session, run_id: str, label: str, comment: str, call_id: str | None, expected: str | None) -> None:
    """Report a run that went wrong. It is kept as a case, with its bundle."""
    body = {
        "label": label,
        "comment": comment,
        "call_id": call_id,
        "expected": None if expected is None else value_of(expected),
    }
    session.out.one(session.api.post(path("runs", run_id, "reports"), body).body, CASE)


@click.group("case")
def case() -> None:
    """Runs that were reported, or brought from elsewhere, with what it takes to decide them again."""


@case.command("list")
@click.option("--label", type=click.Choice(LABELS), help="Only these.")
@click.option("--run", "run_id", help="Only those of this run.")
@click.option("--workflow-id", help="Only those of this workflow.")
@limit_option
@client_command
def list_cases(session: Session, label: str | None, run_id: str | None, workflow_id: str | None, limit: int) -> None:
    """List cases, the newest first."""
    params = {"label": label, "run_id": run_id, "workflow_id": workflow_id}
    session.out.many(session.api.pages(CASES, params, limit=limit), CASE)


@case.command("show")
@click.argument("case_id")
@client_command
def show(session: Session, case_id: str) -> None:
    """Show one case."""
    session.out.one(session.api.get(path("cases", case_id)).body, CASE)


@case.command("bundle")
@click.argument("case_id")
@bundle_file
@force_option
@client_command
def case_bundle(session: Session, case_id: str, file: Path, force: bool) -> None:
    """Write the bundle of a case to a file."""
    _write(session, path("cases", case_id, "bundle"), file, force)


@case.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@label_option
@click.option("--comment", default="", help="What it is an example of.")
@click.option("--environment-id", help="Where it belongs; else that of the key in use.")
@client_command
def import_case(session: Session, file: Path, label: str, comment: str, environment_id: str | None) -> None:
    """Keep the bundle in FILE, of here or elsewhere, as a case."""
    try:
        brought = msgspec.json.decode(file.read_bytes())
    except msgspec.DecodeError:
        raise Failure(f"{file} is not JSON", Exit.INVALID) from None
    body = {"bundle": brought, "label": label, "comment": comment, "environment_id": environment_id}
    session.out.one(session.api.post(CASES, body).body, CASE)


def _write(session: Session, resource: str, file: Path, force: bool, unmasked: bool = False) -> None:
    if file.exists() and not force:
        raise Failure(f"{file} is there already", Exit.REFUSED, details=("--force replaces it",))
    body = session.api.get(resource, as_seen(unmasked)).body
    if file.exists():
        file.unlink()
    write_private(file, msgspec.json.format(msgspec.json.encode(body), indent=1))
    session.out.done(f"{file} has {file.stat().st_size:,} bytes", {"file": str(file)})


def _lines(node: Any, depth: int) -> list[str]:
    facts = "  ".join(f"{name}={_short(value)}" for name, value in node["facts"].items() if value not in (None, "", {}))
    line = f"{'  ' * depth}{node['part']}  [{node['position']}] {node['type']}  {facts}"
    return [line, *(inner for each in node["because"] for inner in _lines(each, depth + 1))]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
