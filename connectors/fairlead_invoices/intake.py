"""Documents as they arrived, in a folder, each under the SHA-256 of its bytes. Written whole or not at all."""

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path

from fairlead_sdk import BadArguments, Call, Refused, TryLater

from fairlead_invoices.requests import MAX_DOCUMENT_BYTES

SETTING = "intake_dir"
_SHA256 = re.compile("[0-9a-f]{64}", re.ASCII)


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def put(call: Call, content: bytes) -> str:
    """The document's name. Storing the same bytes again changes nothing. Raises Refused document_too_large."""
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Refused(f"the document is larger than {MAX_DOCUMENT_BYTES} bytes", code="document_too_large")
    sha256 = name_of(content)
    await asyncio.to_thread(_write, _path(call, sha256), content)
    return sha256


async def get(call: Call, sha256: str) -> bytes:
    """The bytes that have this hash. Raises Refused: document_not_found, document_damaged."""
    content = await asyncio.to_thread(_read, _path(call, sha256))
    if content is None:
        raise Refused("no document of this name is in the intake store", code="document_not_found")
    if name_of(content) != sha256:
        raise Refused("the stored document is not the one that was stored", code="document_damaged")
    return content


async def size(call: Call, sha256: str) -> int | None:
    """None when the document is not there."""
    path = _path(call, sha256)
    return await asyncio.to_thread(lambda: path.stat().st_size if path.is_file() else None)


def _path(call: Call, sha256: str) -> Path:
    if not (folder := call.settings.get(SETTING)):
        raise Refused(f"the connector's setting {SETTING} is missing", code="not_configured")
    if not _SHA256.fullmatch(sha256):
        raise BadArguments("a document is named by its SHA-256 in lower-case hexadecimal", code="bad_document_name")
    return Path(folder) / sha256[:2] / f"{sha256}.xml"


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise TryLater(f"the intake store cannot be read: {fault.strerror}", code="intake_unavailable") from None


def _write(path: Path, content: bytes) -> None:
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(path, content)
    except OSError as fault:
        raise TryLater(f"the intake store cannot be written: {fault.strerror}", code="intake_unavailable") from None


def _write_synced(path: Path, content: bytes) -> None:
    """The name appears only when the bytes are on disk, and stays after a loss of power."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".arriving-", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
