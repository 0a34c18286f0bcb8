"""`fairlead ledger`: signed heads, proofs, keys, and the check of an export, which needs no server."""

from pathlib import Path
from typing import Any

import rich_click as click
from fairlead_ledger import __main__ as standing_alone
from fairlead_ledger.canonical import NotCanonical, canonical, parse
from fairlead_ledger.heads import Head, HeadInvalid, head_from
from fairlead_ledger.keys import KeysInvalid

from fairlead.cli.access import limit_option
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.output import Column, Format, Printer, View, output_option
from fairlead.cli.session import Session, client_command

HEADS, PROOFS = "/v1/ledger/heads", "/v1/ledger/proofs"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_HEAD = View(
    identity="root",
    columns=(
        Column("SIZE", "size", right=True),
        Column("ROOT", "root"),
        Column("SIGNED", "at"),
        Column("KEY", "key_id"),
    ),
    details=(Column("TENANT", "tenant_id"), Column("SIGNATURE", "signature")),
)
_PROOF = View(
    identity="head.root",
    columns=(Column("SIZE", "head.size", right=True), Column("ROOT", "head.root"), Column("PATH", "path")),
    details=(Column("INDEX", "index"), Column("LEAF", "leaf"), Column("FROM", "from_size")),
)
_KEY = View(
    identity="key_id",
    columns=(
        Column("KEY", "key_id"),
        Column("SINCE", "since"),
        Column("PUBLIC KEY", "public_key"),
        Column("AFTER", "previous"),
    ),
)


@click.group()
def ledger() -> None:
    """The record that proves itself: signed heads, proofs, and the check of an export."""


@ledger.command("head")
@click.option("--sign", is_flag=True, help="Sign one of this moment; else show the newest that was signed.")
@click.option("-f", "--file", type=NEW_FILE, help="Keep it there as a receipt, for `verify --receipt`.")
@client_command
def show_head(session: Session, sign: bool, file: Path | None) -> None:
    """Show a signed head of the tenant's ledger. Kept, it binds every later export to what was there."""
    found = session.api.post(HEADS, {}).body if sign else session.api.get("/v1/ledger/head").body
    if file is not None:
        file.write_bytes(canonical(found) + b"\n")
    session.out.one(found, _HEAD)


@ledger.command("heads")
@limit_option
@client_command
def list_heads(session: Session, limit: int) -> None:
    """List heads that were signed, newest first."""
    session.out.many(session.api.pages(HEADS, limit=limit), _HEAD)


@ledger.command("proof")
@click.option("--position", help="Of an event, like 4711-0: that it is in the ledger.")
@click.option("--from", "from_size", type=click.IntRange(1), help="Size of an older head: the ledger goes on from it.")
@click.option("--to", "to_size", type=click.IntRange(0), help="Size of the newer head; else the newest.")
@client_command
def prove(session: Session, position: str | None, from_size: int | None, to_size: int | None) -> None:
    """Prove that an event is in the ledger, or that the ledger has only been added to."""
    if (position is None) == (from_size is None):
        raise click.UsageError("give --position, or --from")
    if position is not None:
        answer = session.api.get(f"{PROOFS}/inclusion", {"position": position, "size": _text(to_size)})
    else:
        params = {"from_size": _text(from_size), "to_size": _text(to_size)}
        answer = session.api.get(f"{PROOFS}/consistency", params)
    session.out.one(answer.body, _PROOF)


@ledger.command("keys")
@click.option("-f", "--file", type=NEW_FILE, help="Write the list there, for `verify --keys`.")
@client_command
def list_keys(session: Session, file: Path | None) -> None:
    """List the public keys that sign. Get them once, keep them, and compare them by another way."""
    found = session.api.get("/v1/ledger/keys").body
    if file is not None:
        file.write_bytes(canonical(found) + b"\n")
    session.out.many(found["keys"], _KEY)


@ledger.command("verify")
@click.argument("file", type=FILE)
@click.option("--keys", type=FILE, help="List of keys, as `fairlead ledger keys --file` writes it.")
@click.option("--public-key", "anchors", multiple=True, help="A key to believe, 64 hex digits; may be repeated.")
@click.option("--receipt", type=FILE, help="A signed head that was kept from earlier.")
@output_option
def verify(file: Path, keys: Path | None, anchors: tuple[str, ...], receipt: Path | None, output: Format) -> None:
    """Check an export, alone and offline: nothing changed, removed, inserted, reordered, cut off or signed by others.

    Ends with 0 when it is what was recorded, with 1 when it is not, and with 2 when no key was named to believe.
    """
    try:
        report = standing_alone.verified(file, keys, anchors, receipt)
    except (OSError, KeysInvalid, HeadInvalid, NotCanonical) as fault:
        raise Failure(str(fault), Exit.INVALID) from fault
    if output == "table":
        click.echo(standing_alone.told(report), nl=False)
    else:
        Printer(output).document(standing_alone.as_document(report))
    if code := standing_alone.exit_code(report):
        raise SystemExit(code)


def size_of(receipt: Path | None) -> str | None:
    """Of the head in this file. Raises Failure."""
    return None if receipt is None else _text(_read(receipt).size)


def _read(receipt: Path) -> Head:
    try:
        return head_from(parse(receipt.read_bytes()).value)
    except (NotCanonical, HeadInvalid) as misfit:
        raise Failure(f"{receipt} is no signed head: {misfit}", Exit.INVALID) from misfit


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
