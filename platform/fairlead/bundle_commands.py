"""`fairlead bundle`: looks into the file of a run and decides it again, without a server."""

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.output import Column, Format, Printer, View, output_option

file_argument = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_SUMMARY = View(
    identity="run_id",
    columns=(
        Column("RUN", "run_id"),
        Column("WORKFLOW", "workflow"),
        Column("VERSION", "version"),
        Column("PLANNER", "planner"),
        Column("POLICY", "policy_version"),
        Column("EVENTS", "events", right=True),
        Column("MADE", "made_at"),
        Column("SHA-256", "sha256"),
        Column("MASKED", "masked"),
    ),
)
_REPLAYED = View(
    identity="run_id",
    columns=(
        Column("RUN", "run_id"),
        Column("COMMITS", "commits", right=True),
        Column("EVENTS", "events", right=True),
        Column("DECIDED AGAIN", "decided", right=True),
        Column("PARTED AT", "parted.position"),
        Column("RECORDED", "parted.recorded"),
        Column("DECIDED", "parted.decided"),
    ),
)


@click.group("bundle")
def bundle() -> None:
    """A run in a file, with all that decided about it: checked and decided again without a server."""


@bundle.command("show")
@file_argument
@output_option
def show(file: Path, output: Format) -> None:
    """Check that the bundle in FILE is whole, and say what is in it."""
    from fairlead import bundling

    Printer(output).one(bundling.summary(file.read_bytes()), _SUMMARY)


@bundle.command("replay")
@file_argument
@click.option(
    "--document",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another workflow document, JSON or YAML: where would the run have parted under it?",
)
@output_option
def replay(file: Path, document: Path | None, output: Format) -> None:
    """Decide the run again with its recorded outcomes. Ends with a failure where the decisions part."""
    from fairlead import bundling

    other = None if document is None else document.read_bytes()
    found: dict[str, Any] = msgspec.to_builtins(bundling.replay(file.read_bytes(), other))
    Printer(output).one(found, _REPLAYED)
    if found["parted"] is not None:
        why = (
            ("the bundle is masked: what was decided by sensitive values comes out otherwise",)
            if found["masked"]
            else ()
        )
        raise Failure(f"the decisions part at {found['parted']['position']}", Exit.REFUSED, details=why)
