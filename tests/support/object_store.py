"""A store that speaks like Amazon S3, was not written here, and checks the signature of each request."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

BUCKET = "files"
ACCESS_KEY, SECRET = "AKIATESTS0FOBJECTS00", "a secret with / and + of forty characters"
READY_WITHIN_S = 20.0
_PROGRAM = Path(sys.executable).parent / "rclone"
_LISTENS = re.compile(rb"http://(127\.0\.0\.1:\d+)/")


@asynccontextmanager
async def object_store(folder: Path) -> AsyncIterator[str]:
    """The authority at which it listens; what is stored are files under `folder`, a bucket is a folder there."""
    (folder / BUCKET).mkdir()
    process = await asyncio.create_subprocess_exec(
        *(str(_PROGRAM), "serve", "s3", "--config", "", "--addr", "127.0.0.1:0"),
        *("--auth-key", f"{ACCESS_KEY},{SECRET}", str(folder)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            authority = await _listening(process)
        yield authority
    finally:
        process.kill()
        await process.communicate()


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None, "it is a pipe"
    said = b""
    while line := await process.stderr.readline():
        said += line
        if (found := _LISTENS.search(line)) is not None:
            return found[1].decode()
    raise RuntimeError(said.decode(errors="replace"))
