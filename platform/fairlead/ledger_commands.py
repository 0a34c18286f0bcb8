"""`fairlead ledger check | restore | new-key | retire-keys`: the ledger in its operator's hands."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
from fairlead_ledger.canonical import NotCanonical, parse
from fairlead_ledger.heads import Head, HeadInvalid, head_from

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.ledger import ledger
from fairlead.cli.output import Column, Format, Printer, View, output_option
from fairlead.logs import configure
from fairlead.settings import Settings, from_environment

__all__ = ["ledger"]

_RESTORED = View(
    identity="put_back",
    columns=(
        Column("SHARD", "shard", right=True),
        Column("PUT BACK", "put_back", right=True),
        Column("BLOBS", "blobs", right=True),
        Column("MOVED", "moved", right=True),
        Column("CONFLICTING", "conflicting", right=True),
        Column("LOST", "lost", right=True),
        Column("SET ASIDE IN", "file"),
    ),
)


@ledger.command("check")
@click.option(
    "--receipt",
    "receipts",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed head that was kept elsewhere; may be repeated.",
)
@output_option
def check(receipts: tuple[Path, ...], output: Format) -> None:
    """Hold log, ledger and read models against each other, commit by commit.

    Ends with 0 when they agree, else with 1.
    """
    from fairlead import ledger_operating

    printer = Printer(output)
    heads = [_head(receipt) for receipt in receipts]

    def tell(fault: Any) -> None:
        where = f"shard {fault.shard} · {fault.sequence} {fault.tenant_id}".strip()
        printer.line(msgspec.to_builtins(fault), lambda _: click.echo(f"{fault.kind} · {where}: {fault.text}"))

    if asyncio.run(ledger_operating.check_ledger(_settings(), heads, tell)):
        raise SystemExit(Exit.FAILED)


@ledger.command("restore")
@click.option(
    "--aside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="Where commits are laid that the ledger does not know, before anything is changed.",
)
@output_option
def restore(aside: Path, output: Format) -> None:
    """Put back on the log, under their old numbers, the commits that it lost. Nothing else may run meanwhile.

    Ends with 0 when nothing is left to do by hand, else with 1.
    """
    from fairlead import ledger_operating

    restored = asyncio.run(ledger_operating.restore_ledger(_settings(), aside))
    Printer(output).one(msgspec.to_builtins(restored), _RESTORED)
    if restored.conflicting or restored.lost:
        raise SystemExit(Exit.FAILED)


@ledger.command("new-key")
def new_key() -> None:
    """Put a fresh key into the file of keys: it signs from now on, and the one before vouches for it."""
    from fairlead import ledger_operating

    click.echo(ledger_operating.new_key(_settings()))


@ledger.command("retire-keys")
def retire_keys() -> None:
    """Take the private halves of all keys but the newest out of the file: they can sign nothing more."""
    from fairlead import ledger_operating

    click.echo("\n".join(ledger_operating.retire(_settings())) or "nothing to do")


def _settings() -> Settings:
    settings = from_environment(os.environ)
    configure("warning")
    return settings


def _head(receipt: Path) -> Head:
    try:
        return head_from(parse(receipt.read_bytes()).value)
    except (NotCanonical, HeadInvalid) as misfit:
        raise Failure(f"{receipt} is no signed head: {misfit}", Exit.INVALID) from misfit
