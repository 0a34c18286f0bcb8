"""Passwords of the engines: made once, kept in a file that only its owner can read."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct


class Credentials(Struct, frozen=True, kw_only=True):
    admin: str
    owner: str
    app: str
    engine: str
    nats: str

    def __repr__(self) -> str:
        return "Credentials(…)"


def credentials(file: Path) -> Credentials:
    """Read them, or make them at first use."""
    if not file.exists():
        made = Credentials(**{name: secrets.token_urlsafe(24) for name in Credentials.__struct_fields__})
        write_private(file, msgspec.json.encode(made))
    return msgspec.json.decode(file.read_bytes(), type=Credentials)


def write_private(file: Path, body: bytes) -> None:
    """All or nothing, readable by its owner only, on disk when this returns."""
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(body)
        output.flush()
        os.fsync(output.fileno())
    partial.replace(file)


def write_private_once(file: Path, body: bytes) -> None:
    """As `write_private`, by whoever comes first: a file that is there stays as it is."""
    mine = file.with_name(f"{file.name}-{secrets.token_hex(8)}")
    write_private(mine, body)
    with suppress(FileExistsError):
        file.hardlink_to(mine)
    mine.unlink()
