"""`fairlead connector publish | review | list | install | …`: the catalogue in its operator's hands."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from fairlead.cli import connector_use
from fairlead.cli.authoring import connector, package_bytes
from fairlead.cli.output import Column, Format, Printer, View, output_option
from fairlead.domain.connectors.catalogue import Verdict
from fairlead.settings import Settings, from_environment

__all__ = ["connector", "connector_use"]  # the group, and who adds the client's commands to it

_ROW = View(
    identity="name",
    columns=(
        Column("CONNECTOR", "name"),
        Column("VERSION", "version"),
        Column("STATUS", "status"),
        Column("INSTALLED", "installed"),
        Column("REACHES", lambda row: ", ".join(row["egress"])),
        Column("AUTHOR", "author_key"),
        Column("REASON", "reason"),
    ),
    details=(Column("TOOLS", "tools"), Column("SHA-256", "package_sha256")),
)


@connector.command("publish")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--new-author", is_flag=True, help="Another key than before may speak for this connector: you made sure.")
@output_option
def publish(file: Path, new_author: bool, output: Format) -> None:
    """Put the package in FILE into the catalogue. What would break workflows needs a new major version."""
    from fairlead import cataloguing

    _show(output, cataloguing.publish(_settings(), package_bytes(file), new_author))


@connector.command("review")
@click.argument("name")
@click.argument("version")
@click.option("--approve", "verdict", flag_value="approved", help="It may be installed.")
@click.option("--reject", "verdict", flag_value="rejected", help="It may not, for good.")
@click.option("--reason", required=True, help="What was looked at, or what is wrong; kept.")
@output_option
def review(name: str, version: str, verdict: Verdict | None, reason: str, output: Format) -> None:
    """Say whether a version may be installed. `connector unpack` shows its code."""
    from fairlead import cataloguing

    if verdict is None:
        raise click.UsageError("give --approve or --reject")
    _show(output, cataloguing.review(_settings(), name, version, verdict, reason))


@connector.command("list")
@output_option
def list_connectors(output: Format) -> None:
    """List every version that was published here, and what was decided about it."""
    from fairlead import cataloguing

    rows = asyncio.run(cataloguing.listing(_settings()))
    Printer(output).many(msgspec.to_builtins(rows), _ROW)


@connector.command("install")
@click.argument("name")
@click.argument("version")
@output_option
def install(name: str, version: str, output: Format) -> None:
    """Let processes load an approved version, beside others. Its author's key is in FAIRLEAD_TRUSTED_AUTHORS."""
    from fairlead import cataloguing

    _show(output, cataloguing.install(_settings(), name, version))


@connector.command("uninstall")
@click.argument("name")
@click.argument("version")
@output_option
def uninstall(name: str, version: str, output: Format) -> None:
    """Load a version no more. It can be installed again."""
    from fairlead import cataloguing

    _show(output, cataloguing.uninstall(_settings(), name, version))


@connector.command("withdraw")
@click.argument("name")
@click.argument("version")
@click.option("--reason", required=True, help="What is wrong with it; kept.")
@output_option
def withdraw(name: str, version: str, reason: str, output: Format) -> None:
    """Take a version back for good: it is called no more, and cannot be installed again."""
    from fairlead import cataloguing

    _show(output, cataloguing.withdraw(_settings(), name, version, reason))


def _show(output: Format, work: Coroutine[Any, Any, Any]) -> None:
    Printer(output).one(msgspec.to_builtins(asyncio.run(work)), _ROW)


def _settings() -> Settings:
    from fairlead.logs import configure

    configure("warning")
    return from_environment(os.environ)
