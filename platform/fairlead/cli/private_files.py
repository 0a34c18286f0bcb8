"""Files with secrets in them: for their owner only, and believed only when they are."""

import os
import stat
from pathlib import Path

_NOT_OURS = 0o077  # leave for group or others


def write_private(file: Path, body: bytes) -> None:
    """All or nothing."""
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(body)
    partial.replace(file)


def read_private(file: Path) -> bytes | None:
    """None unless it is a file of ours that nobody else can read or change."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _NOT_OURS:
            return None
        return file.read_bytes()
    except OSError:
        return None
