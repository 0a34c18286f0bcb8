"""`fairlead toolset`: tools made of what a service says of itself."""

from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import document_in, value_of
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.tools import IMPORTED, TOOLSET

TOOLSETS = "/v1/toolsets"


@click.group()
def toolset() -> None:
    """Tools made of what a service says of itself."""


@toolset.command("import")
@click.argument("name")
@click.argument("file")
@reason_option
@click.option("--importer", default="http", show_default=True, help="The connector that reads it; http reads OpenAPI.")
@click.option("--hints", default="{}", help="What FILE does not say: JSON, or @file (JSON or YAML).")
@click.option("--dry-run", is_flag=True, help="Only say what would be imported.")
@client_command
def import_(session: Session, name: str, file: str, reason: str, importer: str, hints: str, dry_run: bool) -> None:
    """Make tools called NAME.… of the description in FILE (JSON or YAML, - for standard input)."""
    body = {
        "name": name,
        "description": document_in(file).body.decode(errors="replace"),
        "reason": reason,
        "importer": importer,
        "hints": value_of(hints),
    }
    report = session.api.post(TOOLSETS, body, params={"dry_run": dry_run}).body
    if report["problems"]:
        raise Failure(f"{file} cannot be imported", Exit.INVALID, details=_problems(report), document=report)
    session.out.one(report, IMPORTED)


@toolset.command("list")
@limit_option
@client_command
def list_toolsets(session: Session, limit: int) -> None:
    """List the newest version of each set."""
    session.out.many(session.api.pages(TOOLSETS, {}, limit=limit), TOOLSET)


@toolset.command("show")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="This version; else the newest.")
@client_command
def show(session: Session, name: str, version: int | None) -> None:
    """Show a set with its tools and what a connection for it needs."""
    parts = () if version is None else ("versions", str(version))
    session.out.one(session.api.get(path("toolsets", name, *parts)).body, TOOLSET)


@toolset.command("versions")
@click.argument("name")
@limit_option
@client_command
def versions(session: Session, name: str, limit: int) -> None:
    """List every version of a set, newest first."""
    session.out.many(session.api.pages(path("toolsets", name, "versions"), {}, limit=limit), TOOLSET)


def _problems(report: Any) -> tuple[str, ...]:
    return tuple(f"{problem['path'] or '/'}: {problem['message']}" for problem in report["problems"])
